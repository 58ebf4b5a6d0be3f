package cli

import (
	"bytes"
	"context"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ownTimeout bounds the project's own command; a cold npx takes seconds.
const ownTimeout = 60 * time.Second

// askCapacitor reads a config with the project's own @capacitor/cli, which is
// the one reader that is never wrong about it. why says why that was not
// possible. A config that throws makes that command fail as well; it is then
// read once more by our own evaluation, which names the line in the source.
func (s *session) askCapacitor(ctx context.Context, file string) (settings []byte, why string, err error) {
	dir := filepath.Dir(file)
	if !slices.Contains(configNames[:], filepath.Base(file)) {
		return nil, "the Capacitor CLI reads only files named capacitor.config", nil
	}
	if !hasPackage(dir, "@capacitor/cli") {
		return nil, "@capacitor/cli is not installed in this project", nil
	}
	npx, err := lookPath(s.env("PATH"), "npx")
	if err != nil {
		return nil, "there is no npx", nil
	}
	limited, cancel := context.WithTimeout(ctx, ownTimeout)
	defer cancel()
	var out, problems bytes.Buffer
	c := exec.CommandContext(limited, npx, "--no-install", "cap", "config", "--json")
	c.Dir, c.Env, c.Stdout, c.Stderr, c.WaitDelay = dir, s.environForCode(), &out, &problems, time.Second
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		return nil, fmt.Sprintf("`npx --no-install cap config --json` failed (%s)", firstLine(problems.String()+out.String(), err)), nil
	}
	settings, ok := extConfig(out.Bytes())
	if !ok {
		return nil, "`npx --no-install cap config --json` printed no config", nil
	}
	return settings, "", nil
}

// extConfig finds the settings in what the Capacitor CLI prints. A config may
// print lines of its own before.
func extConfig(out []byte) ([]byte, bool) {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	for _, text := range [][]byte{out, lines[len(lines)-1]} {
		var answer struct {
			App struct {
				ExtConfig jsontext.Value `json:"extConfig"`
			} `json:"app"`
		}
		if json.Unmarshal(text, &answer) == nil && answer.App.ExtConfig.Kind() == '{' {
			return answer.App.ExtConfig, true
		}
	}
	return nil, false
}

// hasPackage reports whether an npm package is installed for a folder, where
// Node itself would look.
func hasPackage(dir, name string) bool {
	for d := range upwards(dir) {
		if exists(filepath.Join(d, "node_modules", filepath.FromSlash(name), "package.json")) {
			return true
		}
	}
	return false
}

// environForCode is the environment for code of the project, without the
// secrets that are meant for us alone.
func (s *session) environForCode() []string {
	return slices.DeleteFunc(slices.Clone(s.Environ), func(kv string) bool {
		return strings.HasPrefix(kv, "CAPSTAN_TOKEN=") || strings.HasPrefix(kv, "CAPSTAN_BOOTSTRAP_TOKEN=") || strings.HasPrefix(kv, "CAPGO_TOKEN=")
	})
}

// lookPath finds a program in the folders of a PATH. Empty and relative ones
// are left out, so that nothing of the project's own folder is run by accident.
func lookPath(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

func firstLine(text string, err error) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return err.Error()
}
