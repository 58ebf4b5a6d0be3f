package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newDocs(s *session) *cobra.Command {
	c := group("docs", "Write the manual of this command line")
	c.Hidden = true
	c.AddCommand(
		&cobra.Command{
			Use: "markdown", Short: "Print docs/cli.md", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { s.screen.Printf("%s", markdown(c.Root())); return nil },
		},
		&cobra.Command{
			Use: "man FOLDER", Short: "Write a man page for every command", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return s.runDocsMan(c.Root(), args[0]) },
		},
	)
	return c
}

// commands lists every command that people see, in the order of the help.
func commands(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" && c.Name() != "completion" {
			list = append(list, commands(c)...)
		}
	}
	return list
}

func markdown(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\nGenerated from the commands by `go test ./internal/cli -update`; do not edit.\n\n")
	for _, c := range commands(root) {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", c.CommandPath(), description(c))
		if c.Runnable() && !c.HasSubCommands() {
			fmt.Fprintf(&b, "    %s\n\n", c.UseLine())
		}
		if len(c.Aliases) > 0 {
			fmt.Fprintf(&b, "Also: `%s`\n\n", strings.Join(c.Aliases, "`, `"))
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
		}
		flags := c.LocalNonPersistentFlags()
		if c == root {
			flags = c.PersistentFlags()
			b.WriteString("Flags of every command:\n\n")
		}
		if flags.HasAvailableFlags() {
			b.WriteString("| Flag | |\n|---|---|\n")
			flags.VisitAll(func(f *pflag.Flag) {
				if !f.Hidden {
					fmt.Fprintf(&b, "| `%s` | %s |\n", flagName(f), strings.ReplaceAll(f.Usage, "|", "\\|"))
				}
			})
			b.WriteString("\n")
		}
	}
	b.WriteString("## Exit codes\n\n| Code | |\n|---|---|\n")
	for line := range strings.Lines(exitCodes) {
		if code, means, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			fmt.Fprintf(&b, "| %s | %s |\n", code, means)
		}
	}
	b.WriteString("\nWhich error has which exit code stands in [errors.md](errors.md).\n")
	return b.String()
}

func description(c *cobra.Command) string {
	if c.Long == "" {
		return c.Short + "."
	}
	// Lines that are set in by two spaces are commands.
	return strings.ReplaceAll(c.Long, "\n  ", "\n      ")
}

func flagName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if f.Value.Type() != "bool" {
		name += " " + strings.ToUpper(f.Value.Type())
	}
	return name
}

func (s *session) runDocsMan(root *cobra.Command, folder string) error {
	folder = s.path(folder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	list := commands(root)
	for _, c := range list {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		if err := os.WriteFile(filepath.Join(folder, name), []byte(manPage(c)), 0o644); err != nil {
			return err
		}
	}
	return s.print(map[string]any{"folder": folder, "pages": len(list)}, func() {
		s.screen.Printf("Wrote %d pages to %s.\n", len(list), folder)
	})
}

// manPage writes a page in roff, without a date, so that two builds give the
// same bytes.
func manPage(c *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"Capstan\" \"Capstan manual\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(roff(name)), roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.nf\n%s\n.fi\n.SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(c.UseLine()), roff(description(c)))
	section := func(title string, flags *pflag.FlagSet) {
		if !flags.HasAvailableFlags() {
			return
		}
		fmt.Fprintf(&b, ".SH %s\n", title)
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				fmt.Fprintf(&b, ".TP\n%s\n%s\n", roff(flagName(f)), roff(f.Usage))
			}
		})
	}
	section("OPTIONS", c.LocalNonPersistentFlags())
	section("GLOBAL OPTIONS", c.Root().PersistentFlags())
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n.nf\n%s\n.fi\n", roff(strings.TrimPrefix(exitCodes, "Exit codes:\n")))
	return b.String()
}

func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
