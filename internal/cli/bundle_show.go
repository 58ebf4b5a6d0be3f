package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

func newBundleShow(s *session) *cobra.Command {
	var files bool
	c := &cobra.Command{
		Use: "show VERSION [appId]", Short: "Show a bundle", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runBundleShow(c.Context(), args[0], arg(args, 1), files)
		},
	}
	c.Flags().BoolVar(&files, "files", false, "also its files")
	return c
}

func (s *session) runBundleShow(ctx context.Context, version, app string, withFiles bool) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	b, err := c.Bundle(ctx, app, version)
	if err != nil {
		return err
	}
	var files []client.StoredFile
	if withFiles {
		if files, err = c.BundleFiles(ctx, app, version); err != nil {
			return err
		}
	}
	return s.print(struct {
		client.Bundle
		List []client.StoredFile `json:"list,omitempty"`
	}{b, files}, func() {
		s.screen.Fields(
			[2]string{"version", b.Version},
			[2]string{"state", string(b.State)},
			[2]string{"live on", dash(strings.Join(b.Channels, ", "))},
			[2]string{"files", fmt.Sprintf("%d, %s", b.Files, term.Bytes(b.Bytes))},
			[2]string{"root", string(b.Root)},
			[2]string{"zip", term.Bytes(b.ArchiveBytes)},
			[2]string{"sha-256", string(b.Archive)},
			[2]string{"delta", onOff(b.DeltaOffered)},
			[2]string{"needs native", nativeMin(b.NativeMin)},
			[2]string{"key id", b.KeyID},
			[2]string{"link", b.Link},
			[2]string{"comment", b.Comment},
			[2]string{"uploaded", when(b.CreatedAt) + " by " + b.CreatedBy},
		)
		if withFiles {
			s.screen.Printf("\n")
			s.fileTable(files)
		}
	})
}

func (s *session) fileTable(files []client.StoredFile) {
	rows := make([][]string, len(files))
	for i, f := range files {
		rows[i] = []string{f.Path, term.Bytes(f.Size), term.Bytes(f.BlobBytes), string(f.Encoding)}
	}
	s.screen.Table([]string{"FILE", "SIZE", "DOWNLOAD", "AS"}, rows)
}
