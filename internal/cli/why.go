package cli

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/term"
)

func newWhy(s *session) *cobra.Command {
	var query string
	c := &cobra.Command{
		Use: "why DEVICE [appId]", Short: "Explain what a device gets now, and by which rule",
		Long: `Walks the same gates as a check of the device and shows each of them. DEVICE is a device id or
a custom id. With --query, which takes the body that a plugin sends to updateUrl, the device
need not exist; the app is then the app_id of the query.`,
		Example: `  capstan why 00009999-aaaa-4bbb-8ccc-000000000001
  capstan why --query '{"platform":"ios","version_build":"1.2.0","version_name":"builtin","plugin_version":"8.51.23"}'
  capstan why --query @query.json`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return s.runWhy(c.Context(), query, args) },
	}
	c.Flags().StringVar(&query, "query", "", "body of an update check: JSON, @file, or - for standard input")
	return c
}

func (s *session) runWhy(ctx context.Context, text string, args []string) error {
	in, app, err := s.whyQuery(text, args)
	if err != nil {
		return err
	}
	if app, err = s.appID(ctx, app); err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	w, err := c.Why(ctx, app, in)
	if err != nil {
		return err
	}
	return s.print(w, func() { s.printWhy(w) })
}

func (s *session) whyQuery(text string, args []string) (in client.WhyQuery, app string, err error) {
	if text == "" {
		if len(args) == 0 {
			return in, "", capstan.Errorf(capstan.CodeInvalid, "no device was named").On("device").
				Hint("capstan why DEVICE", "capstan device list")
		}
		return client.WhyQuery{Device: args[0]}, arg(args, 1), nil
	}
	if len(args) == 2 {
		return in, "", capstan.Errorf(capstan.CodeInvalid, "give either a device or --query").On("query")
	}
	b, err := s.readInput(text)
	if err != nil {
		return in, "", err
	}
	if err := json.Unmarshal(b, &in.Query); err != nil {
		return in, "", capstan.Errorf(capstan.CodeInvalid, "the query is not a JSON object: %w", err).On("query").
			Hint(`capstan why --query '{"platform":"ios","version_build":"1.2.0","version_name":"builtin","plugin_version":"8.51.23"}'`)
	}
	app = arg(args, 0)
	if id, ok := in.Query["app_id"].(string); ok && app == "" {
		app = id
	}
	return in, app, nil
}

// readInput reads text itself, a file named @file, or standard input for -.
func (s *session) readInput(text string) ([]byte, error) {
	const most = 1 << 20
	switch {
	case text == "-":
		return io.ReadAll(io.LimitReader(s.In, most))
	case strings.HasPrefix(text, "@"):
		f, err := os.Open(s.path(text[1:]))
		if err != nil {
			return nil, capstan.Errorf(capstan.CodeInvalid, "read the query: %w", err).On("query")
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, most))
	}
	return []byte(text), nil
}

func (s *session) printWhy(w client.Why) {
	verdict := map[capstan.Outcome]string{
		capstan.Offer: "gets " + w.Version, capstan.Builtin: "goes back to its store build", capstan.UpToDate: "has nothing to do",
		capstan.Blocked: "is refused", capstan.Failed: "cannot be served",
	}[w.Outcome]
	who := "This device"
	if w.Device != "" {
		who = "Device " + w.Device
	}
	s.screen.Printf("%s %s: %s\n", term.Clean(who), term.Clean(verdict), term.Clean(w.Means))
	if w.Fix != "" {
		s.screen.Printf("Fix: %s\n", term.Clean(w.Fix))
	}
	release := ""
	if w.Release != 0 {
		release = fmt.Sprint(w.Release)
	}
	s.screen.Printf("\n")
	s.screen.Fields(
		[2]string{"reason", string(w.Reason)},
		[2]string{"channel", w.Channel},
		[2]string{"release", release},
		[2]string{"version", w.Version},
		[2]string{"form", w.Form},
	)
	s.screen.Printf("\n")
	width := 0
	for _, step := range w.Steps {
		width = max(width, len(step.Gate))
	}
	for _, step := range w.Steps {
		mark := s.screen.Paint(term.Green, "pass")
		if !step.Pass {
			mark = s.screen.Paint(term.Red, "STOP")
		}
		s.screen.Printf("%s  %-*s  %s\n", mark, width, term.Clean(step.Gate), term.Clean(step.Detail))
	}
	s.screen.Printf("\nanswer: %s\n", term.Clean(w.Answer))
}
