package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
)

// check reads the config by `bundle check` and returns app and version.
func (d *developer) check(args ...string) checked {
	d.t.Helper()
	return decode[checked](d.t, d.ok(append([]string{"bundle", "check", "--json"}, args...)...))
}

// noConfig takes the usual config away.
func (d *developer) noConfig() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.Dir, "capacitor.config.json")); err != nil {
		d.t.Fatal(err)
	}
}

const tsConfig = `/// <reference types="@capacitor/keyboard" />
import type { CapacitorConfig } from '@capacitor/cli';
import { CapacitorConfig as Again } from '@capacitor/cli';
import { join } from 'node:path';
import { readFileSync, existsSync } from 'fs';
import pkg from './package.json';
import { stage } from './stage';

const config: CapacitorConfig = {
  appId: process.env.APP_ID ?? 'com.example.none',
  webDir: join('dist', '.'),
  plugins: {
    CapacitorUpdater: {
      version: JSON.parse(readFileSync(join(__dirname, 'package.json'), 'utf8')).version + '-' + stage,
      ...(existsSync('nothing') ? { version: 'wrong' } : {}),
    },
  },
};
if (pkg.version !== '1.0.0') throw new Error('package.json was not read');
export default config;
`

func TestConfigsOfEveryKindAreRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, text string
		app, version     string
	}{
		{"json", "capacitor.config.json", "\xef\xbb\xbf" + `{"appId":"com.example.a","webDir":"dist"}`, "com.example.a", "1.0.0"},
		{"json with an id for updates", "capacitor.config.json", `{"appId":"com.example.a","webDir":"dist","plugins":{"CapacitorUpdater":{"appId":"com.example.b","version":"2.0.0"}}}`, "com.example.b", "2.0.0"},
		{"common js", "capacitor.config.js", `module.exports = { appId: process.env.APP_ID, webDir: 'dist' }`, "com.example.env", "1.0.0"},
		{"module js", "capacitor.config.js", `const c = { appId: 'com.example.m', webDir: 'dist' }; export default c`, "com.example.m", "1.0.0"},
		{"typescript", "capacitor.config.ts", tsConfig, "com.example.env", "1.0.0-beta"},
		{"a promise", "capacitor.config.ts", `export default (async () => { await null; return { appId: 'com.example.p', webDir: 'dist' } })()`, "com.example.p", "1.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDeveloper(t, site{})
			d.noConfig()
			d.Environ = append(d.Environ, "APP_ID=com.example.env")
			d.write("stage.ts", "export const stage: string = 'beta';")
			// Keeps imports that only types use, and would pull the Capacitor CLI in.
			d.write("tsconfig.json", `{"compilerOptions":{"verbatimModuleSyntax":true}}`)
			d.write(tt.file, tt.text)
			if c := d.check(); c.App != tt.app || c.Version != tt.version {
				t.Errorf("app %q, version %q; want %q, %q", c.App, c.Version, tt.app, tt.version)
			}
		})
	}
}

func TestConfigIsFoundUpwardsAndByFlag(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.write("src/deep/x.txt", "")
	project := d.Dir
	d.Dir = filepath.Join(project, "src", "deep")
	if c := d.check(); c.App != testApp || c.Folder != filepath.Join(project, "dist") {
		t.Errorf("from below: %+v", c)
	}
	d.Dir = filepath.Dir(project)
	if c := d.check("-C", "project"); c.App != testApp {
		t.Errorf("with -C: %+v", c)
	}
	d.Dir = project
	d.write("config/other.config.ts", `export default { appId: 'com.example.other', webDir: '../dist' }`)
	if c := d.check("--capacitor-config", "config/other.config.ts"); c.App != "com.example.other" {
		t.Errorf("with --capacitor-config: %+v", c)
	}
	d.fails(2, []string{"nothing.ts does not exist", "code config"}, "bundle", "check", "--capacitor-config", "nothing.ts")
	// What is given needs no config.
	d.noConfig()
	if c := d.check("com.example.given", "-p", "dist", "-b", "3.0.0"); c.App != "com.example.given" || c.Version != "3.0.0" {
		t.Errorf("without a config: %+v", c)
	}
	d.fails(2, []string{"no folder was given", "-p dist", "code config"}, "bundle", "check")
}

func TestWrongConfigIsNamedWithFileAndLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, text string
		words            []string
	}{
		{"broken json", "capacitor.config.json", "{\n  \"appId\": \"a.b\",\n  oops\n}", []string{"capacitor.config.json, line 3 is not JSON"}},
		{"a number for a text", "capacitor.config.json", `{"appId":"com.example.a","webDir":"dist","plugins":{"CapacitorUpdater":{"version":2}}}`, []string{"plugins.CapacitorUpdater.version must be a text"}},
		{"a text for a group", "capacitor.config.json", `{"plugins":"none"}`, []string{"plugins must be a group of settings"}},
		{"a throw", "capacitor.config.ts", "interface A { a: string }\n\nif (!process.env.NEVER_SET) {\n  throw new Error('NEVER_SET is not set')\n}\nexport default {}", []string{"capacitor.config.ts:4: Error: NEVER_SET is not set"}},
		{"a throw of an import", "capacitor.config.ts", "import './stage'\nexport default {}", []string{"stage.ts:2: Error: from stage"}},
		{"a syntax error", "capacitor.config.ts", "export default {\n  appId: ,\n}", []string{"capacitor.config.ts:2: "}},
		{"an import that is not there", "capacitor.config.ts", "\nimport { a } from 'no-such-package'\nexport default { appId: a }", []string{"capacitor.config.ts:2: ", "no-such-package"}},
		{"a Node module", "capacitor.config.ts", "import os from 'os'\nexport default { appId: os.hostname() }", []string{"capacitor.config.ts:1: ", `needs the Node module "os"`}},
		{"nothing", "capacitor.config.js", "console.log(1)", []string{"appId"}},
		{"no config", "capacitor.config.js", "module.exports = 7", []string{"exports no config"}},
		{"a rejected promise", "capacitor.config.js", "module.exports = Promise.reject(new Error('not today'))", []string{"not today"}},
		{"an eternal promise", "capacitor.config.js", "module.exports = new Promise(() => {})", []string{"never comes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDeveloper(t, site{})
			d.noConfig()
			d.write("stage.ts", "type T = 1\nthrow new Error('from stage')")
			d.write(tt.file, tt.text)
			r := d.fails(2, append(tt.words, "code config"), "bundle", "check", "--json")
			if f := decode[failed](t, r.out).Error; f.Code != capstan.CodeConfig {
				t.Errorf("code %s", f.Code)
			}
		})
	}
}

func TestConfigThatNeverEndsIsStopped(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.write("capacitor.config.js", "while (true) {}")
	s := newSession(d.World)
	s.evalLimit = 50 * time.Millisecond
	_, err := s.evaluate(t.Context(), filepath.Join(d.Dir, "capacitor.config.js"))
	if capstan.CodeOf(err) != capstan.CodeConfig || !strings.Contains(err.Error(), "runs for more than 50ms") {
		t.Errorf("the error is %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s.evalLimit = 5 * time.Second
	stop()
	if _, err := s.evaluate(ctx, filepath.Join(d.Dir, "capacitor.config.js")); !errors.Is(err, context.Canceled) {
		t.Errorf("after a signal the error is %v", err)
	}
}

func TestConfigCodeDoesNotSeeOurTokens(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.noConfig()
	d.Environ = append(d.Environ, "CAPSTAN_TOKEN=secret", "CAPSTAN_BOOTSTRAP_TOKEN=secret", "CAPGO_TOKEN=secret")
	d.write("capacitor.config.ts", `export default { appId: Object.values(process.env).includes('secret') ? 'com.example.leaked' : 'com.example.safe', webDir: 'dist' }`)
	if c := d.check(); c.App != "com.example.safe" {
		t.Errorf("app %s", c.App)
	}
}

// project installs a Capacitor CLI that prints what the real one of version 7
// prints, recorded and cut down, and an npx that runs it.
func (d *developer) installCapacitor(script string) {
	d.t.Helper()
	d.write("node_modules/@capacitor/cli/package.json", `{"name":"@capacitor/cli","version":"7.6.9"}`)
	d.write("bin/npx", "#!/bin/sh\n"+script)
	if err := os.Chmod(filepath.Join(d.Dir, "bin/npx"), 0o755); err != nil {
		d.t.Fatal(err)
	}
	d.Environ = append(d.Environ, "PATH="+filepath.Join(d.Dir, "bin")+":/usr/bin:/bin")
}

func TestProjectsOwnCapacitorIsAskedFirst(t *testing.T) {
	t.Parallel()
	recorded, err := os.ReadFile("testdata/cap-config.json")
	if err != nil {
		t.Fatal(err)
	}
	d := newDeveloper(t, site{})
	d.noConfig()
	d.write("capacitor.config.ts", `export default { appId: 'com.example.evaluated', webDir: 'dist' }`)
	d.write("recorded.json", string(recorded))
	d.installCapacitor(`[ "$*" = "--no-install cap config --json" ] || exit 9
[ -z "$CAPSTAN_TOKEN" ] || exit 8
echo "a line that the config itself prints"
cat recorded.json`)
	d.Environ = append(d.Environ, "CAPSTAN_TOKEN=secret")
	r := d.run("bundle", "check", "-b", "1.0.0", "--json")
	if c := decode[checked](t, r.out); c.App != "com.example.recorded" || r.err != "" {
		t.Errorf("app %q, stderr:\n%s", c.App, r.err)
	}
}

func TestCapacitorThatFailsIsReplacedAndNamed(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	d.noConfig()
	d.write("capacitor.config.ts", `export default { appId: 'com.example.evaluated', webDir: 'dist' }`)
	read := func(why string) {
		t.Helper()
		r := d.run("bundle", "check", "--json")
		if c := decode[checked](t, r.out); c.App != "com.example.evaluated" || !strings.Contains(r.err, why) {
			t.Errorf("app %q, stderr lacks %q:\n%s", c.App, why, r.err)
		}
	}
	read("since @capacitor/cli is not installed in this project")
	d.installCapacitor(`echo "[fatal] The Capacitor CLI requires NodeJS >=22.0.0" >&2; exit 1`)
	read("`npx --no-install cap config --json` failed ([fatal] The Capacitor CLI requires NodeJS >=22.0.0)")
	d.installCapacitor(`echo '{"app":{}}'`)
	read("printed no config")
	d.Environ = append(d.Environ, "PATH=.:bin")
	read("there is no npx")
}
