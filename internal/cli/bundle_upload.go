package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

type bundleUpload struct {
	packFlags
	version   string
	channels  []string
	autoBump  string
	minNative string
	link      string
	comment   string
	dryRun    bool
}

func newBundleUpload(s *session) *cobra.Command {
	var o bundleUpload
	c := &cobra.Command{
		Use: "upload [appId]", Aliases: []string{"u"}, Short: "Upload a web build and put it on a channel",
		Long: `Packs the web build, sends what the server does not have yet, and puts the bundle on a channel.
Until the last step nothing is visible to anybody; an upload that was stopped goes on where it was when
the command is run again. Without -c a terminal asks, and a pipe uses the app's only channel or fails
with the names of those it could mean.

The same version with the same content is not sent again ("same content, skipped"). The same version
with other content is refused, names the files that differ, and ships nothing.`,
		Example: `  npm run build && capstan bundle upload -c production
  capstan bundle upload com.example.app -p dist -b 1.4.2 -c production
  capstan bundle upload --auto-bump=patch -c beta,production --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runBundleUpload(c.Context(), o, arg(args, 0))
		},
	}
	o.uploadFlags(s, c.Flags())
	return c
}

func (o *bundleUpload) uploadFlags(s *session, f *pflag.FlagSet) {
	o.flags(f)
	f.StringVarP(&o.version, "bundle", "b", "", "version of the bundle (default: that of the config, else of package.json)")
	f.StringSliceVarP(&o.channels, "channel", "c", nil, "channels to put it on, separated by commas")
	f.StringVar(&o.autoBump, "auto-bump", "", "take the next free version above what the channel serves: major, minor or patch")
	f.Lookup("auto-bump").NoOptDefVal = "minor"
	f.StringVar(&o.minNative, "min-update-version", "", "lowest native version that can run the bundle")
	f.StringVar(&o.link, "link", "", "address of a page about the bundle")
	f.StringVar(&o.comment, "comment", "", "what changed")
	f.Bool("version-exists-ok", false, "as without it: the same content under this version is skipped, other content fails")
	f.BoolVar(&o.dryRun, "dry-run", false, "do everything but send, and show what would be sent")
	f.BoolVar(&o.dryRun, "dry-upload", false, "")
	f.Lookup("dry-upload").Hidden = true
	s.ignoredFlags(f, true, "multipart", "partial", "partial-only", "delta", "delta-only", "no-delta", "zip", "tus", "no-key",
		"ignore-metadata-check", "ignore-checksum-check", "disable-brotli", "verbose", "force-crc32-checksum", "bundle-url")
	s.ignoredFlags(f, false, "tus-chunk-size", "timeout", "package-json", "node-modules", "no-brotli-patterns")
	sealing := "bundles cannot be sealed by this version; an upload would be unencrypted"
	for name, why := range map[string]string{
		"key-v2": sealing, "key-data-v2": sealing, "encrypt-partial": sealing,
		"external": "bundles are kept by the server itself", "iv-session-key": sealing, "encrypted-checksum": sealing,
		"rollout": "a release reaches everybody in this version", "rollout-percentage-bps": "a release reaches everybody in this version",
		"auto-min-update-version": "name the native version with --min-update-version",
	} {
		f.Var(refusedFlag(why), name, "")
		f.Lookup(name).Hidden = true
		if name == "encrypt-partial" || name == "auto-min-update-version" {
			f.Lookup(name).NoOptDefVal = "true"
		}
	}
}

// refusedFlag is a flag of Capgo's command line whose meaning would be lost if
// it were ignored.
type refusedFlag string

func (r refusedFlag) Set(string) error { return errors.New(string(r)) }
func (r refusedFlag) String() string   { return "" }
func (r refusedFlag) Type() string     { return "string" }

func (o *bundleUpload) validate() error {
	if o.autoBump != "" && o.version != "" {
		return capstan.Errorf(capstan.CodeInvalid, "give either --bundle or --auto-bump").On("auto-bump")
	}
	if !slices.Contains([]string{"", "major", "minor", "patch"}, o.autoBump) {
		return capstan.Errorf(capstan.CodeInvalid, "--auto-bump=%s is not major, minor or patch", o.autoBump).On("auto-bump")
	}
	for _, name := range o.channels {
		if err := capstan.ValidateChannelName(name); err != nil {
			return err
		}
	}
	b := capstan.Bundle{Version: "1.0.0", Link: o.link, Comment: o.comment, NativeMin: o.nativeMin()}
	return b.Validate()
}

func (o *bundleUpload) nativeMin() map[capstan.Platform]string {
	if o.minNative == "" {
		return nil
	}
	m := make(map[capstan.Platform]string, len(capstan.Platforms))
	for _, p := range capstan.Platforms {
		m[p] = o.minNative
	}
	return m
}

// uploaded is the result of bundle upload.
type uploaded struct {
	App      string            `json:"app"`
	Version  string            `json:"version"`
	Root     capstan.Digest    `json:"root"`
	Files    int               `json:"files"`
	Bytes    int64             `json:"bytes"`
	DryRun   bool              `json:"dry_run,omitzero"`
	Skipped  bool              `json:"skipped"` // the same content was there and served already
	Sent     sent              `json:"sent"`    // with --dry-run: what would be sent
	Bundle   *client.Bundle    `json:"bundle,omitempty"`
	Releases []client.Released `json:"releases"`
	Undo     []string          `json:"undo"`
	Warnings []string          `json:"warnings"`
}

func (s *session) runBundleUpload(ctx context.Context, o bundleUpload, typed string) error {
	if err := o.validate(); err != nil {
		return err
	}
	app, err := s.appID(ctx, typed)
	if err != nil {
		return err
	}
	version := ""
	if o.autoBump == "" {
		if version, err = s.version(ctx, o.version); err != nil {
			return err
		}
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.warnPublicKey()
	src, err := s.openSource(ctx, o.packFlags)
	if err != nil {
		return err
	}
	defer src.Close()
	u := &upload{session: s, client: c, app: app, typed: typed, version: version, options: o, src: src}
	out, err := u.run(ctx)
	if err != nil {
		return err
	}
	return s.print(out, func() { s.printUploaded(out) })
}

// warnPublicKey tells that devices of this app want sealed bundles.
func (s *session) warnPublicKey() {
	if s.config != nil && s.config.Updater.PublicKey != "" {
		s.screen.Warn("%s has a publicKey: plugins from 8.51.23 on refuse every bundle that is not sealed with it, iOS already before, and this version cannot seal", s.config.base())
	}
}

func (s *session) printUploaded(out uploaded) {
	if out.DryRun {
		s.screen.Printf("Would upload %s: %s of %s, %s; of these %s, %s, are not on the server yet, and the zip.\nNothing was sent.\n",
			term.Clean(out.Version), term.Count(out.Files, "file"), term.Clean(out.App), term.Bytes(out.Bytes),
			term.Count(out.Sent.Contents, "file"), term.Bytes(out.Sent.Bytes))
		return
	}
	for i, r := range out.Releases {
		s.printReleased(r, out.Undo[i])
	}
	if !out.Skipped {
		s.screen.Note("sent %s, %s, and %s of zip", term.Count(out.Sent.Contents, "file"), term.Bytes(out.Sent.Bytes), term.Bytes(out.Sent.ArchiveBytes))
	}
	for _, w := range out.Warnings {
		s.screen.Warn("%s", w)
	}
}

// bump returns the next version of a level after v, as npm counts: the
// finished version comes after its prereleases.
func bump(v capstan.Version, level string) capstan.Version {
	pre := v.Pre != ""
	v.Pre = ""
	switch {
	case level == "major" && !(pre && v.Minor == 0 && v.Patch == 0):
		v = capstan.Version{Major: v.Major + 1}
	case level == "minor" && !(pre && v.Patch == 0):
		v = capstan.Version{Major: v.Major, Minor: v.Minor + 1}
	case level == "patch" && !pre:
		v.Patch++
	}
	return v
}

func joinNames(channels []client.Channel) string {
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}
