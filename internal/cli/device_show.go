package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/client"
)

func newDeviceShow(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "show DEVICE [appId]", Short: "Show a device, what failed on it, and its last events", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runDeviceShow(c.Context(), args[0], arg(args, 1))
		},
	}
}

func (s *session) runDeviceShow(ctx context.Context, id, app string) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	d, err := c.Device(ctx, app, id)
	if err != nil {
		return err
	}
	return s.print(d, func() { s.printDevice(d) })
}

func (s *session) printDevice(d client.DeviceDetail) {
	offered := d.Offered
	if d.OfferedRelease != 0 {
		offered = fmt.Sprintf("%s (release %d) at %s", d.Offered, d.OfferedRelease, when(d.OfferedAt))
	}
	kind := []string{"development build", "production build"}[index(d.Prod)] + ", " + []string{"device", "emulator"}[index(d.Emulator)]
	var failed []string
	for _, f := range d.Failed {
		failed = append(failed, fmt.Sprintf("%s (up to release %d) at %s", f.Version, f.Release, when(f.At)))
	}
	s.screen.Fields(
		[2]string{"device", d.ID},
		[2]string{"custom id", d.CustomID},
		[2]string{"platform", string(d.Platform) + " " + d.OSVersion},
		[2]string{"kind", kind},
		[2]string{"native", strings.TrimSuffix(d.NativeVersion+" ("+d.NativeBuild+")", " ()")},
		[2]string{"plugin", d.PluginVersion},
		[2]string{"runs", d.Running},
		[2]string{"offered", offered},
		[2]string{"last answer", string(d.Reason)},
		[2]string{"names channel", d.Channel},
		[2]string{"pinned to", d.Pin},
		[2]string{"failed", strings.Join(failed, "\n")},
		[2]string{"first seen", when(d.FirstSeen)},
		[2]string{"last seen", when(d.LastSeen)},
	)
	if len(d.Events) == 0 {
		return
	}
	s.screen.Printf("\n")
	rows := make([][]string, len(d.Events))
	for i, e := range d.Events {
		rows[i] = []string{when(e.ReceivedAt), e.Action, e.Version, e.File}
	}
	s.screen.Table([]string{"RECEIVED", "EVENT", "VERSION", "FILE"}, rows)
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
