package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/sim"
	"github.com/capstan-ota/capstan/internal/term"
)

type deviceSimulate struct {
	profile string
	native  string
	device  string
	channel string
	custom  string
	dir     string
	dev     bool
	emu     bool
	verbose bool
}

func newDeviceSimulate(s *session) *cobra.Command {
	var o deviceSimulate
	c := &cobra.Command{
		Use: "simulate [appId]", Short: "Be a phone: ask, download, install, report",
		Long: `Runs a virtual device against the server as a user would in a minute: it opens the app, which
asks and downloads, puts it in the background, where the bundle is applied and confirms itself or
is rolled back, and sends its statistics. It needs no token. The server counts it like any other
device. With --state the device keeps its bundles in a folder and goes on from there.`,
		Example: `  capstan device simulate
  capstan device simulate --as ios@8.51.23 --native 1.4.0 --state ./phone`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runDeviceSimulate(c.Context(), o, arg(args, 0))
		},
	}
	f := c.Flags()
	f.StringVar(&o.profile, "as", "android", "ios, android or electron, with the plugin's version: android@7.51.21")
	f.StringVar(&o.native, "native", "1.0.0", "version of the store build")
	f.StringVar(&o.device, "device", "", "device id, a UUID (default: a random one)")
	f.StringVar(&o.channel, "channel", "", "channel that the app's config names")
	f.StringVar(&o.custom, "custom-id", "", "custom id")
	f.StringVar(&o.dir, "state", "", "folder in which the device keeps what it has")
	f.BoolVar(&o.dev, "dev", false, "be a development build")
	f.BoolVar(&o.emu, "emulator", false, "be an emulator")
	f.BoolVar(&o.verbose, "verbose", false, "show everything that happened")
	return c
}

func (s *session) runDeviceSimulate(ctx context.Context, o deviceSimulate, app string) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	server, err := s.server(ctx)
	if err != nil {
		return err
	}
	profile, err := sim.ParseProfile(o.profile)
	if err != nil {
		return err
	}
	dir := ""
	if o.dir != "" {
		dir = s.path(o.dir)
	}
	d, err := sim.New(profile, sim.Options{
		URLs: sim.At(server), AppID: app, DeviceID: o.device, NativeVersion: o.native, Prod: !o.dev, Emulator: o.emu,
		DefaultChannel: o.channel, CustomID: o.custom, Dir: dir, Client: s.HTTP, Now: s.Now,
	})
	if err != nil {
		return err
	}
	r, err := d.Update(ctx)
	if err != nil {
		return err
	}
	return s.print(simulated{d.State(), r}, func() { s.printSimulated(d.State(), r, o.verbose) })
}

// simulated is the result of device simulate.
type simulated struct {
	Device sim.State  `json:"device"`
	Update sim.Result `json:"update"`
}

func (s *session) printSimulated(d sim.State, r sim.Result, verbose bool) {
	way := "zip"
	if r.ViaDelta {
		way = "delta"
	}
	s.screen.Printf("%s %s: %s\n", term.Clean(d.Profile), d.Device, r.Outcome)
	if r.Detail != "" {
		s.screen.Printf("%s\n", term.Clean(r.Detail))
	}
	s.screen.Fields([2]string{"ran", r.From}, [2]string{"runs", r.To}, [2]string{"offered", r.Version})
	if r.BytesDownloaded > 0 || r.FilesReused > 0 {
		s.screen.Printf("downloaded %s by %s (%s fetched, %d reused)\n", term.Bytes(r.BytesDownloaded), way, term.Count(r.FilesFetched, "file"), r.FilesReused)
	}
	if verbose {
		for _, e := range r.Entries {
			s.screen.Printf("  %s\n", term.Clean(fmt.Sprint(e)))
		}
	}
}
