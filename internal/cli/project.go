package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/native"
)

// appID finds the app: the argument, plugins.CapacitorUpdater.appId, appId.
func (s *session) appID(ctx context.Context, arg string) (string, error) {
	if arg != "" {
		return arg, capstan.ValidateAppID(arg)
	}
	c, err := s.readConfig(ctx)
	if err != nil {
		if c == nil {
			return "", missing(err, "no app id was given", "app", "give the app id as the last argument, such as com.example.app")
		}
		return "", err
	}
	if c.app() == "" {
		return "", capstan.Errorf(capstan.CodeConfig, "%s has no appId", c.File).On("app")
	}
	return c.app(), capstan.ValidateAppID(c.app())
}

// missing says what was not given where a config would have said it.
func missing(err error, what, field, hint string) error {
	e, ok := errors.AsType[*capstan.Error](err)
	if !ok {
		return err
	}
	return capstan.Errorf(e.Code, "%s, and %s", what, e.Message).On(field).Hint(hint).Hint(e.Hints...)
}

// folder finds what to pack: -p, else webDir of the config, which is relative to
// the config's own folder.
func (s *session) folder(ctx context.Context, flag string) (string, error) {
	if flag != "" {
		dir := s.path(flag)
		return dir, refuseFlutter(dir)
	}
	c, err := s.readConfig(ctx)
	switch {
	case err != nil && c == nil:
		for dir := range upwards(s.Dir) {
			if err := refuseFlutter(dir); err != nil {
				return "", err
			}
		}
		return "", missing(err, "no folder was given", "folder", "name the folder of the web build: -p dist")
	case err != nil:
		return "", err
	case c.WebDir == "":
		return "", capstan.Errorf(capstan.CodeConfig, "%s has no webDir", c.File).On("folder").Hint("name the folder of the web build: -p dist")
	case filepath.IsAbs(c.WebDir):
		return c.WebDir, nil
	}
	return filepath.Join(c.dir(), filepath.FromSlash(c.WebDir)), nil
}

// refuseFlutter tells people at once what the native gate would tell them after
// reading every file.
func refuseFlutter(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "pubspec.yaml"))
	if err != nil || !strings.Contains(string(b), "sdk: flutter") {
		return nil
	}
	return capstan.Errorf(capstan.CodeNativeCode, "%s is a Flutter project. %s %s", dir, native.WhyFlutter, native.NotApproval).On("folder").
		Hint("flutter build web, then: capstan bundle upload -p build/web")
}

// version finds the name of the bundle: -b, plugins.CapacitorUpdater.version,
// package.json.
func (s *session) version(ctx context.Context, flag string) (string, error) {
	if flag != "" {
		return flag, capstan.ValidateBundleVersion(flag)
	}
	dir := s.Dir
	c, err := s.readConfig(ctx)
	switch {
	case err == nil && c.Updater.Version != "":
		return c.Updater.Version, from(c.File, capstan.ValidateBundleVersion(c.Updater.Version))
	case err == nil:
		dir = c.dir()
	case c != nil:
		return "", err
	}
	version, file, err := packageVersion(dir)
	if err != nil {
		return "", capstan.Errorf(capstan.CodeConfig, "%w", err).On("version").Hint("name the version: -b 1.4.2")
	}
	if version == "" {
		return "", capstan.Errorf(capstan.CodeInvalid, "no version was given, and neither plugins.CapacitorUpdater.version nor a package.json has one").On("version").
			Hint("name it: -b 1.4.2")
	}
	return version, from(file, capstan.ValidateBundleVersion(version))
}

// from adds to an error where the wrong value stands.
func from(file string, err error) error {
	if e, ok := errors.AsType[*capstan.Error](err); ok {
		e.Message += " (in " + file + ")"
	}
	return err
}
