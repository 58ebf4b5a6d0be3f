package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/pack"
)

type bundleZip struct {
	packFlags
	version string
	name    string
}

func newBundleZip(s *session) *cobra.Command {
	var o bundleZip
	c := &cobra.Command{
		Use: "zip [appId]", Short: "Write the zip of a web build, and print its checksums",
		Long: "Writes the canonical zip that an upload would send. The same files give the same bytes.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runBundleZip(c.Context(), o, arg(args, 0)) },
	}
	o.flags(c.Flags())
	c.Flags().StringVarP(&o.version, "bundle", "b", "", "version of the bundle (default: that of the config, else of package.json)")
	c.Flags().StringVarP(&o.name, "name", "n", "", "name of the file (default: APP_VERSION.zip)")
	return c
}

func (s *session) runBundleZip(ctx context.Context, o bundleZip, app string) error {
	app, version, err := s.describe(ctx, app, o.version)
	if err != nil {
		return err
	}
	name := o.name
	switch {
	case name != "":
	case app != "" && version != "":
		name = app + "_" + version + ".zip"
	default:
		name = "bundle.zip"
	}
	src, err := s.openSource(ctx, o.packFlags)
	if err != nil {
		return err
	}
	defer src.Close()
	src.progress.Stage("packing", src.Bytes)
	var archive pack.ArchiveInfo
	err = writeFile(s.path(name), 0o644, func(f *os.File) error {
		archive, err = src.writeZip(ctx, f)
		return err
	})
	if err != nil {
		return err
	}
	src.progress.Finish()
	result := newChecked(src, archive)
	result.App, result.Version, result.Zip = app, version, s.path(name)
	return s.print(result, func() { s.printChecked(result) })
}
