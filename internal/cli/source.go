package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
	"github.com/capstan-ota/capstan/internal/native"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/term"
)

// packFlags are the flags of every command that reads a web build.
type packFlags struct {
	path        string
	noCodeCheck bool
	sourceMaps  bool
}

func (p *packFlags) flags(f *pflag.FlagSet) {
	f.StringVarP(&p.path, "path", "p", "", "folder of the web build, or a zip of it (default: webDir of the config)")
	f.BoolVar(&p.noCodeCheck, "no-code-check", false, "do not insist on a script that calls notifyAppReady")
	f.BoolVar(&p.sourceMaps, "include-source-maps", false, "pack *.js.map and *.css.map too")
}

// source is a web build that passed every check.
type source struct {
	*pack.Source
	dir      string // as it was found
	progress *term.Progress
	unpacked string // folder that a zip was unpacked into, "" for none
}

// openSource finds, checks and hashes a web build. The caller closes it.
func (s *session) openSource(ctx context.Context, p packFlags) (*source, error) {
	dir, err := s.folder(ctx, p.path)
	if err != nil {
		return nil, err
	}
	src := &source{dir: dir, progress: s.screen.Progress()}
	if err := src.open(ctx, p); err != nil {
		src.Close()
		return nil, err
	}
	src.progress.Finish()
	for _, w := range src.Warnings {
		s.screen.Warn("%s", w.Message)
	}
	if src.Wrapper != "" {
		s.screen.Note("everything is in one folder, %s; what is in it becomes the root of the bundle", src.Wrapper)
	}
	src.progress = s.screen.Progress()
	return src, nil
}

func (src *source) open(ctx context.Context, p packFlags) (err error) {
	dir := src.dir
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(dir), ".zip") {
		if src.unpacked, err = os.MkdirTemp("", "capstan-"); err != nil {
			return err
		}
		if err := pack.ExtractForeign(ctx, dir, src.unpacked, manifest.DefaultLimits()); err != nil {
			return err
		}
		dir = src.unpacked
	}
	src.progress.Stage("reading", 0)
	src.Source, err = pack.Folder(ctx, dir, pack.Options{
		SourceMaps: p.sourceMaps, NoCodeCheck: p.noCodeCheck, Progress: func(n int64) { src.progress.Add(n) },
	})
	return err
}

// Close removes what was unpacked and the progress line.
func (src *source) Close() error {
	src.progress.Finish()
	var err error
	if src.Source != nil {
		err = src.Source.Close()
	}
	if src.unpacked != "" {
		err = errors.Join(err, os.RemoveAll(src.unpacked))
	}
	return err
}

// writeZip makes the canonical zip in f and leaves f at its start.
func (src *source) writeZip(ctx context.Context, f *os.File) (pack.ArchiveInfo, error) {
	info, err := src.WriteArchive(ctx, f)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	return info, err
}

// checked is what `bundle check` and `bundle zip` report.
type checked struct {
	App         string           `json:"app,omitempty"`
	Version     string           `json:"version,omitempty"`
	Folder      string           `json:"folder"`
	Root        capstan.Digest   `json:"root"`
	Files       int              `json:"files"`
	Bytes       int64            `json:"bytes"`
	Zip         string           `json:"zip,omitempty"` // file that was written
	Archive     capstan.Digest   `json:"archive"`
	ArchiveSize int64            `json:"archive_bytes"`
	CRC32       string           `json:"crc32"`
	Ignored     []string         `json:"ignored"`
	Warnings    []pack.Warning   `json:"warnings"`
	Findings    []native.Finding `json:"findings"`
}

func newChecked(src *source, archive pack.ArchiveInfo) checked {
	return checked{
		Folder: src.dir, Root: src.Root, Files: len(src.Manifest), Bytes: src.Bytes,
		Archive: archive.Digest, ArchiveSize: archive.Bytes, CRC32: archive.CRC32,
		Ignored: src.Ignored, Warnings: append(src.Warnings, archive.Warnings...), Findings: src.Findings,
	}
}

// describe names app and version where they can be found; a command that sends
// nothing can do without them, but not with wrong ones.
func (s *session) describe(ctx context.Context, app, version string) (string, string, error) {
	app, err := s.appID(ctx, app)
	if err != nil && (app != "" || s.config != nil || !absent(err)) {
		return "", "", err
	}
	version, err = s.version(ctx, version)
	if err != nil && (version != "" || !absent(err)) {
		return "", "", err
	}
	return app, version, nil
}

// absent reports whether err only says that something was not given.
func absent(err error) bool {
	e, ok := errors.AsType[*capstan.Error](err)
	return ok && (strings.HasPrefix(e.Message, "no app id was given") || strings.HasPrefix(e.Message, "no version was given"))
}
