package cli

import (
	"context"
	"crypto/sha256"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

func newBundleDownload(s *session) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "download VERSION [appId]", Short: "Download the zip of a bundle, and verify it", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runBundleDownload(c.Context(), args[0], arg(args, 1), out)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file to write (default: APP_VERSION.zip)")
	return c
}

func (s *session) runBundleDownload(ctx context.Context, version, app, out string) error {
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
	if out == "" {
		out = app + "_" + version + ".zip"
	}
	out = s.path(out)
	if err := writeFile(out, 0o644, func(f *os.File) error { return s.fetch(ctx, c, app, b, f) }); err != nil {
		return err
	}
	return s.print(map[string]any{"version": version, "file": out, "bytes": b.ArchiveBytes, "archive": b.Archive}, func() {
		s.screen.Printf("Wrote %s (%s, verified).\n", out, term.Bytes(b.ArchiveBytes))
	})
}

// fetch downloads the zip of b and checks that it is what the bundle records.
func (s *session) fetch(ctx context.Context, c *client.Client, app string, b client.Bundle, w io.Writer) error {
	body, _, err := c.Download(ctx, app, b.Version)
	if err != nil {
		return err
	}
	defer body.Close()
	progress := s.screen.Progress()
	defer progress.Finish()
	progress.Stage("downloading", b.ArchiveBytes)
	sum := sha256.New()
	limited := io.LimitReader(body, b.ArchiveBytes+1)
	n, err := io.Copy(io.MultiWriter(w, sum, writerFunc(func(n int) { progress.Add(int64(n)) })), limited)
	if err != nil {
		return capstan.Errorf(capstan.CodeUnreachable, "the download of %s broke off after %d bytes: %w", b.Version, n, err)
	}
	if capstan.DigestSum(sum.Sum(nil)) != b.Archive {
		return capstan.Errorf(capstan.CodeDigestMismatch, "the zip of %s arrived damaged: %d bytes instead of %d, or other ones; nothing was written", b.Version, n, b.ArchiveBytes)
	}
	return nil
}

// writerFunc counts what is written.
type writerFunc func(n int)

func (f writerFunc) Write(p []byte) (int, error) {
	f(len(p))
	return len(p), nil
}
