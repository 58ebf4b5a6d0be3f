package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/client"
)

func newDeviceList(s *session) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list [appId]", Aliases: []string{"l"}, Short: "List devices, the last seen first", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runDeviceList(c.Context(), arg(args, 0), limit)
		},
	}
	c.Flags().IntVar(&limit, "limit", 50, "how many to show, at most 500")
	return c
}

func (s *session) runDeviceList(ctx context.Context, app string, limit int) error {
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	devices, next, err := c.Devices(ctx, app, client.Page{Limit: limit})
	if err != nil {
		return err
	}
	return s.print(struct {
		Devices []client.Device `json:"devices"`
		More    bool            `json:"more"`
	}{devices, next != ""}, func() {
		rows := make([][]string, len(devices))
		for i, d := range devices {
			rows[i] = []string{d.ID, string(d.Platform), d.NativeVersion, d.Running, dash(d.Offered), dash(d.Channel), d.PluginVersion, when(d.LastSeen)}
		}
		s.screen.Table([]string{"DEVICE", "PLATFORM", "NATIVE", "RUNS", "OFFERED", "CHANNEL", "PLUGIN", "SEEN"}, rows)
		if next != "" {
			s.screen.Note("there are more: --limit")
		}
	})
}
