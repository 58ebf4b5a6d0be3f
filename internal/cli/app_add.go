package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

type appAdd struct {
	name           string
	selfSet        bool
	exposeMetadata bool
}

func newAppAdd(s *session) *cobra.Command {
	var o appAdd
	c := &cobra.Command{
		Use: "add [appId]", Aliases: []string{"a", "create"}, Short: "Add an app",
		Long: "Adds an app under the id that its devices send: plugins.CapacitorUpdater.appId, else appId of the config.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.runAppAdd(c.Context(), o, arg(args, 0)) },
	}
	c.Flags().StringVarP(&o.name, "name", "n", "", "name for people (default: the id)")
	c.Flags().BoolVar(&o.selfSet, "self-set", false, "let plugins older than x.34 record their channel on the server")
	c.Flags().BoolVar(&o.exposeMetadata, "expose-metadata", false, "send link and comment of bundles to devices")
	s.ignoredFlags(c.Flags(), false, "icon")
	return c
}

func (s *session) runAppAdd(ctx context.Context, o appAdd, id string) error {
	id, err := s.appID(ctx, id)
	if err != nil {
		return err
	}
	if id == "io.ionic.starter" {
		return capstan.Errorf(capstan.CodeInvalid, "%s is the id of Ionic's template, which many apps share", id).On("app").
			Hint("give the app an id of its own in capacitor.config")
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	app, err := c.CreateApp(ctx, client.NewApp{ID: id, Name: o.name, SelfSet: o.selfSet, ExposeMetadata: o.exposeMetadata})
	if err != nil {
		return err
	}
	return s.print(app, func() {
		s.screen.Printf("Added %s.\nNext: capstan channel add production %s --default\n", term.Clean(app.ID), term.Clean(app.ID))
	})
}
