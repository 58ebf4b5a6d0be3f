package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/capstan-ota/capstan"
)

const exitCodes = `Exit codes:
  0  done
  1  something went wrong that nobody expected
  2  wrong arguments, folder or config
  3  no token, a wrong one, or one that may not do this
  4  the app, bundle, channel, release or device does not exist
  5  a conflict: the version holds other content, somebody else was faster, still in use, not confirmed
  6  the bundle was refused: native code, file names, sizes, missing index.html, bytes that arrived damaged
  7  the server cannot be reached, is full or not available
  130  stopped by a signal`

const rootLong = `Capstan publishes new web bundles to apps that run the Capgo live-update plugins,
and is the server that these apps ask.

  capstan login --server https://updates.example.com
  capstan app add
  capstan channel add production --default
  capstan bundle upload -c production

Server: --server, CAPSTAN_URL, the login file, or the origin of updateUrl in the app's config.
Token: --token-file, CAPSTAN_TOKEN, the login file.
App: the argument, plugins.CapacitorUpdater.appId, or appId of the config.`

func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use: "capstan", Short: "Live updates for Capacitor and Electron apps", Long: rootLong,
		Version: Version(), SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return s.start() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetVersionTemplate("capstan {{.Version}}\n")
	root.SetUsageTemplate(root.UsageTemplate() + "\n" + exitCodes + "\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return capstan.Errorf(capstan.CodeInvalid, "%w", err).Hint(c.CommandPath() + " --help")
	})
	s.globalFlags(root.PersistentFlags())
	root.AddCommand(
		newServe(s), newLogin(s), newLogout(s), newWhoami(s), newVersion(s), newRollback(s), newWhy(s),
		group("app", "Apps: what devices name as app_id", newAppAdd(s), newAppList(s), newAppShow(s), newAppDelete(s)),
		group("bundle", "Bundles: immutable web content under a version",
			newBundleUpload(s), newBundleList(s), newBundleShow(s), newBundleDiff(s), newBundleCheck(s), newBundleZip(s), newBundleDelete(s), newBundleDownload(s)),
		group("channel", "Channels: named lanes with rules", newChannelAdd(s), newChannelList(s), newChannelShow(s), newChannelSet(s), newChannelDelete(s)),
		group("device", "Devices: single installations", newDeviceList(s), newDeviceShow(s), newDeviceSimulate(s)),
		group("token", "Tokens: who may do what", newTokenGenerate(s)),
		newDocs(s),
	)
	return root
}

// group is a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			e := capstan.Errorf(capstan.CodeInvalid, "%s has no command %q", c.CommandPath(), args[0])
			for _, near := range c.SuggestionsFor(args[0]) {
				e.Hint(c.CommandPath() + " " + near)
			}
			return e.Hint(c.CommandPath() + " --help")
		},
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(below...)
	return c
}

func (s *session) globalFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.json, "json", s.json, "print the result as one JSON document")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "no progress and no notes")
	f.StringVar(&s.serverFlag, "server", "", "address of the server, such as https://updates.example.com")
	f.StringVar(&s.tokenFile, "token-file", "", "file that holds the token, readable by its owner alone")
	f.StringVarP(&s.apikey, "apikey", "a", "", "the token itself; other users of the machine can read it")
	f.StringVarP(&s.chdir, "dir", "C", "", "work in this folder")
	f.StringVar(&s.configFlag, "capacitor-config", "", "the app's config, when it is not capacitor.config.{ts,js,json} here or above")
	s.ignoredFlags(f, false, "supa-host", "supa-anon")
}

// ignoredFlag is a flag of Capgo's command line that has no meaning here: it is
// accepted, so that scripts go on working, and named in a note.
type ignoredFlag struct {
	s    *session
	name string
	bool bool
}

func (i *ignoredFlag) Set(string) error {
	i.s.screen.Note("--%s has no meaning here and is ignored", i.name)
	return nil
}

func (i *ignoredFlag) String() string { return "" }

func (i *ignoredFlag) Type() string {
	if i.bool {
		return "bool"
	}
	return "string"
}

func (s *session) ignoredFlags(f *pflag.FlagSet, isBool bool, names ...string) {
	for _, name := range names {
		flag := f.VarPF(&ignoredFlag{s, name, isBool}, name, "", "accepted for scripts made for Capgo's command line, and ignored")
		if isBool {
			flag.NoOptDefVal = "true"
		}
		flag.Hidden = true
	}
}

// toggle is a pair of flags --name and --no-name of which at most one is given.
type toggle struct{ value *bool }

type toggleFlag struct {
	t    *toggle
	name string
	on   bool
}

func (f toggleFlag) Set(text string) error {
	value := f.on
	switch strings.ToLower(text) {
	case "true", "1":
	case "false", "0":
		value = !value
	default:
		return fmt.Errorf("%q is neither true nor false", text)
	}
	if f.t.value != nil && *f.t.value != value {
		return fmt.Errorf("--%s and --no-%s contradict each other", f.name, f.name)
	}
	f.t.value = &value
	return nil
}

func (f toggleFlag) String() string { return "" }
func (f toggleFlag) Type() string   { return "bool" }

func (t *toggle) flags(f *pflag.FlagSet, name, usage string) {
	f.VarPF(toggleFlag{t, name, true}, name, "", usage).NoOptDefVal = "true"
	f.VarPF(toggleFlag{t, name, false}, "no-"+name, "", "the opposite of --"+name).NoOptDefVal = "true"
}

// arg returns the argument at i, "" when it was not given.
func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
