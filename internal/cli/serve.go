package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan/internal/server"
)

type serve struct {
	data      string
	listen    string
	publicURL string
	database  string
}

func newServe(s *session) *cobra.Command {
	var o serve
	c := &cobra.Command{
		Use: "serve", Short: "Run the server",
		Long: `Runs the server on a data directory. The first start makes an admin token and writes it to the
file admin-token in that directory; with CAPSTAN_BOOTSTRAP_TOKEN it registers that one instead
(see capstan token generate). Devices are told --public-url, which is never guessed.

CAPSTAN_DATABASE may name the database instead of --database, so that its password stands in no list
of processes.`,
		Example: `  capstan serve
  capstan serve --data /var/lib/capstan --listen 127.0.0.1:8080 --public-url https://updates.example.com`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.runServe(c.Context(), o) },
	}
	c.Flags().StringVar(&o.data, "data", "data", "data directory, made when it is missing")
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to listen on")
	c.Flags().StringVar(&o.publicURL, "public-url", "", "address under which devices reach the server (default, on loopback only: the one listened on)")
	c.Flags().StringVar(&o.database, "database", "", "postgres://… (default: SQLite in the data directory)")
	return c
}

func (s *session) runServe(ctx context.Context, o serve) error {
	if o.database == "" {
		o.database = s.env("CAPSTAN_DATABASE")
	}
	srv, err := server.New(ctx, server.Config{
		Data: s.path(o.data), Listen: o.listen, PublicURL: o.publicURL, DatabaseURL: o.database,
		BootstrapToken: s.env("CAPSTAN_BOOTSTRAP_TOKEN"), Version: Version(), Log: s.newLog(),
	})
	if err != nil {
		return err
	}
	for _, w := range srv.Warnings() {
		s.screen.Warn("%s", w)
	}
	started := map[string]string{"listen": srv.Addr().String(), "public_url": srv.PublicURL()}
	if file := srv.TokenFile(); file != "" {
		started["token_file"] = file
	}
	if err := s.print(started, func() { s.printServing(srv) }); err != nil {
		return err
	}
	return srv.Run(ctx)
}

func (s *session) newLog() *slog.Logger {
	if s.json {
		return slog.New(slog.NewJSONHandler(s.Err, nil))
	}
	return slog.New(slog.NewTextHandler(s.Err, nil))
}

// printServing says where the server is, how to get in, and what the app's
// config has to say.
func (s *session) printServing(srv *server.Server) {
	url := srv.PublicURL()
	s.screen.Printf("Capstan %s listens on %s; devices use %s\n", Version(), srv.Addr(), url)
	if file := srv.TokenFile(); file != "" {
		s.screen.Printf("The admin token is in %s. Log in with:\n  capstan login --server http://%s --token-file %s\n", file, srv.Addr(), file)
	}
	s.screen.Printf("In capacitor.config, under plugins.CapacitorUpdater:\n  updateUrl: '%s/updates', statsUrl: '%s/stats', channelUrl: '%s/channel_self'\n", url, url, url)
}
