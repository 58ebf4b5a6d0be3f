package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return s.print(v, func() {
				s.screen.Printf("capstan %s (%s, %s)\n", v["version"], v["platform"], v["go"])
			})
		},
	}
}
