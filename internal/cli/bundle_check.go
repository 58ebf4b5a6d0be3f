package cli

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/native"
	"github.com/capstan-ota/capstan/internal/term"
)

type bundleCheck struct {
	packFlags
	version string
}

func newBundleCheck(s *session) *cobra.Command {
	var o bundleCheck
	c := &cobra.Command{
		Use: "check [appId]", Short: "Run every check of an upload and send nothing",
		Long: "Packs the web build as an upload would, with every check of names, sizes, code and native code. No server is asked and nothing is written.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runBundleCheck(c.Context(), o, arg(args, 0))
		},
	}
	o.flags(c.Flags())
	c.Flags().StringVarP(&o.version, "bundle", "b", "", "version of the bundle (default: that of the config, else of package.json)")
	return c
}

func (s *session) runBundleCheck(ctx context.Context, o bundleCheck, app string) error {
	app, version, err := s.describe(ctx, app, o.version)
	if err != nil {
		return err
	}
	src, err := s.openSource(ctx, o.packFlags)
	if err != nil {
		return err
	}
	defer src.Close()
	src.progress.Stage("packing", src.Bytes)
	archive, err := src.WriteArchive(ctx, io.Discard)
	if err != nil {
		return err
	}
	src.progress.Finish()
	for _, w := range archive.Warnings {
		s.screen.Warn("%s", w.Message)
	}
	result := newChecked(src, archive)
	result.App, result.Version = app, version
	return s.print(result, func() {
		s.printChecked(result)
		s.screen.Printf("\nEvery check of an upload passed; nothing was sent.\n%s\n", native.NotApproval)
	})
}

func (s *session) printChecked(c checked) {
	s.screen.Fields(
		[2]string{"app", c.App},
		[2]string{"version", c.Version},
		[2]string{"folder", c.Folder},
		[2]string{"files", strconv.Itoa(c.Files) + ", " + term.Bytes(c.Bytes)},
		[2]string{"root", string(c.Root)},
		[2]string{"written to", c.Zip},
		[2]string{"zip", term.Bytes(c.ArchiveSize)},
		[2]string{"sha-256", string(c.Archive)},
		[2]string{"crc-32", c.CRC32},
		[2]string{"left out", summary(c.Ignored)},
	)
}

// summary lists the first of many names.
func summary(names []string) string {
	const most = 3
	text := ""
	for i, n := range names {
		if i == most {
			return text + " and " + strconv.Itoa(len(names)-most) + " more"
		}
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}
