package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

type rollback struct {
	to        int64
	toBuiltin bool
}

func newRollback(s *session) *cobra.Command {
	var o rollback
	c := &cobra.Command{
		Use: "rollback CHANNEL [appId]", Short: "Take the newest release of a channel back",
		Long: `Puts a channel back to the release before, to an earlier one, or to the web content of the
store build. Devices that run what is taken back go back at their next check.`,
		Example: `  capstan rollback production
  capstan rollback production --to 12
  capstan rollback production --to-builtin`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runRollback(c.Context(), o, args[0], arg(args, 1))
		},
	}
	c.Flags().Int64Var(&o.to, "to", 0, "number of the release to go back to (see capstan channel show)")
	c.Flags().BoolVar(&o.toBuiltin, "to-builtin", false, "send devices back to the web content of their store build")
	return c
}

func (s *session) runRollback(ctx context.Context, o rollback, channel, app string) error {
	if o.to != 0 && o.toBuiltin {
		return capstan.Errorf(capstan.CodeInvalid, "give either --to or --to-builtin").On("to")
	}
	if o.to < 0 {
		return capstan.Errorf(capstan.CodeInvalid, "release %d cannot be: they are counted from 1", o.to).On("to")
	}
	app, err := s.appID(ctx, app)
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	// Without a number: in an emergency the channel goes back from whatever it
	// serves now, also when somebody just moved it.
	r, err := c.Rollback(ctx, app, channel, 0, client.Rollback{ToRelease: o.to, ToBuiltin: o.toBuiltin})
	if err != nil {
		return err
	}
	return s.print(r, func() {
		ended := make([]string, len(r.Ended))
		for i, n := range r.Ended {
			ended[i] = fmt.Sprint(n)
		}
		s.screen.Printf("%s is back on %s, as release %d.\n", term.Clean(releaseName(r.Release)), term.Clean(r.Channel), r.Number)
		if len(ended) > 0 {
			s.screen.Printf("Taken back: release %s.\n", strings.Join(ended, ", "))
		}
		s.screen.Printf("Devices go back at their next check, and apply it when the app is next put in the background.\n")
	})
}
