package cli

import (
	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/auth"
)

func newTokenGenerate(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "generate", Short: "Make the text of a fresh token, for CAPSTAN_BOOTSTRAP_TOKEN",
		Long: `Prints a token that no server knows yet. A server that is started with it in
CAPSTAN_BOOTSTRAP_TOKEN registers it, so that a machine can be set up without reading
the data directory. Nothing is sent or stored.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, id, err := auth.NewToken(s.Random, "admin")
			if err != nil {
				return err
			}
			return s.print(map[string]string{"token": text, "id": id}, func() { s.screen.Printf("%s\n", text) })
		},
	}
}
