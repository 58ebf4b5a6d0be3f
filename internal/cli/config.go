package cli

import (
	"bytes"
	"context"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/capstan-ota/capstan"
)

// config is what a project's capacitor.config says, as far as we use it.
type config struct {
	File    string // absolute
	AppID   string
	WebDir  string
	Updater updater
}

// updater is the part plugins.CapacitorUpdater.
type updater struct {
	AppID          string `json:"appId"`
	Version        string `json:"version"`
	UpdateURL      string `json:"updateUrl"`
	DefaultChannel string `json:"defaultChannel"`
	PublicKey      string `json:"publicKey"`
}

func (c *config) base() string { return filepath.Base(c.File) }
func (c *config) dir() string  { return filepath.Dir(c.File) }

// app is the id that the app's devices send.
func (c *config) app() string {
	if c.Updater.AppID != "" {
		return c.Updater.AppID
	}
	return c.AppID
}

// configNames is the order in which Capacitor itself looks.
var configNames = [...]string{"capacitor.config.ts", "capacitor.config.js", "capacitor.config.json"}

// readConfig finds and reads the project's config. It returns nil and an error
// with code config when there is none.
func (s *session) readConfig(ctx context.Context) (*config, error) {
	if s.config != nil {
		return s.config, nil
	}
	file, err := s.findConfig()
	if err != nil {
		return nil, err
	}
	c := &config{File: file}
	settings, err := s.loadConfig(ctx, file)
	if err == nil {
		err = c.decode(settings)
	}
	if err != nil {
		return c, err
	}
	s.config = c
	return c, nil
}

// findConfig looks in the working directory and above it.
func (s *session) findConfig() (string, error) {
	if s.configFlag != "" {
		file := s.path(s.configFlag)
		if !exists(file) {
			return "", capstan.Errorf(capstan.CodeConfig, "%s does not exist", s.configFlag).On("capacitor-config")
		}
		return file, nil
	}
	for dir := range upwards(s.Dir) {
		for _, name := range configNames {
			if file := filepath.Join(dir, name); exists(file) {
				return file, nil
			}
		}
	}
	return "", capstan.Errorf(capstan.CodeConfig, "there is no capacitor.config.ts, .js or .json in %s or above it", s.Dir).On("capacitor-config").
		Hint("run the command in the project's folder, or name it: -C apps/mobile")
}

// loadConfig returns the settings of a config as JSON.
func (s *session) loadConfig(ctx context.Context, file string) ([]byte, error) {
	if filepath.Ext(file) == ".json" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, capstan.Errorf(capstan.CodeConfig, "read %s: %w", file, err).On("capacitor-config")
		}
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), nil
	}
	settings, why, err := s.askCapacitor(ctx, file)
	if err == nil && why == "" {
		return settings, nil
	}
	if err != nil {
		return nil, err
	}
	settings, err = s.evaluate(ctx, file)
	if err == nil {
		s.screen.Note("%s was read by Capstan itself, since %s", filepath.Base(file), why)
	}
	return settings, err
}

// decode takes what we use out of the settings and says where a value has the
// wrong type.
func (c *config) decode(settings []byte) error {
	var in struct {
		AppID   string `json:"appId"`
		WebDir  string `json:"webDir"`
		Plugins struct {
			Updater updater `json:"CapacitorUpdater"`
		} `json:"plugins"`
	}
	err := json.Unmarshal(settings, &in)
	if err == nil {
		c.AppID, c.WebDir, c.Updater = in.AppID, in.WebDir, in.Plugins.Updater
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		line := 1 + bytes.Count(settings[:min(e.ByteOffset, int64(len(settings)))], []byte("\n"))
		return capstan.Errorf(capstan.CodeConfig, "%s, line %d is not JSON: %w", c.File, line, e.Err).On("capacitor-config").
			Hint("mend the file, or name another one with --capacitor-config")
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		name := strings.ReplaceAll(strings.TrimPrefix(string(e.JSONPointer), "/"), "/", ".")
		return capstan.Errorf(capstan.CodeConfig, "%s: %s must be a %s", c.File, name, kindName(e)).On("capacitor-config")
	}
	return capstan.Errorf(capstan.CodeConfig, "%s cannot be read: %w", c.File, err).On("capacitor-config")
}

func kindName(e *json.SemanticError) string {
	if e.GoType != nil && e.GoType.Kind().String() == "string" {
		return "text"
	}
	return "group of settings"
}

// exists reports whether a file of that name can be seen.
func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// upwards yields dir and every folder above it.
func upwards(dir string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			if !yield(dir) {
				return
			}
			above := filepath.Dir(dir)
			if above == dir {
				return
			}
			dir = above
		}
	}
}

// packageVersion is the version in the nearest package.json from dir upwards
// that has one.
func packageVersion(dir string) (version, file string, err error) {
	for d := range upwards(dir) {
		file := filepath.Join(d, "package.json")
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var p struct {
			Version string `json:"version"`
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return "", file, fmt.Errorf("read %s: %w", file, err)
		}
		if p.Version != "" {
			return p.Version, file, nil
		}
	}
	return "", "", nil
}
