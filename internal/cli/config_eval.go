package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"

	"github.com/capstan-ota/capstan"
)

// evalLimit stops a config that never ends.
const evalLimit = 10 * time.Second

// evaluate runs a config in this process: esbuild makes one script of it and
// what it imports, goja runs the script with the process.env of the command.
// Errors name file and line of the source.
func (s *session) evaluate(ctx context.Context, file string) ([]byte, error) {
	script, err := bundleConfig(file)
	if err != nil {
		return nil, err
	}
	vm := goja.New()
	stop := time.AfterFunc(s.evalLimit, func() { vm.Interrupt(fmt.Errorf("it runs for more than %s", s.evalLimit)) })
	defer stop.Stop()
	defer context.AfterFunc(ctx, func() { vm.Interrupt(ctx.Err()) })()

	module, err := s.prepare(vm, file)
	if err == nil {
		_, err = vm.RunScript(file, script)
	}
	if err != nil {
		return nil, thrown(file, err)
	}
	return exported(vm, module, file)
}

// bundleConfig makes a CommonJS script. The project's tsconfig is left out: a
// config is small, and a setting that keeps unused imports would pull the whole
// Capacitor CLI in, of which configs use the types alone.
func bundleConfig(file string) (string, error) {
	built := api.Build(api.BuildOptions{
		EntryPoints: []string{file}, AbsWorkingDir: filepath.Dir(file), Bundle: true, LogLevel: api.LogLevelSilent,
		Platform: api.PlatformNode, Format: api.FormatCommonJS, Target: api.ES2017, TsconfigRaw: "{}",
		Sourcemap: api.SourceMapInline, SourcesContent: api.SourcesContentExclude,
	})
	if len(built.Errors) > 0 {
		m := built.Errors[0]
		at := file
		if m.Location != nil {
			at = fmt.Sprintf("%s:%d", filepath.Join(filepath.Dir(file), filepath.FromSlash(m.Location.File)), m.Location.Line)
		}
		return "", configError(at, "%s", m.Text)
	}
	return string(built.OutputFiles[0].Contents), nil
}

func configError(at, format string, args ...any) error {
	return capstan.Errorf(capstan.CodeConfig, "%s: %w", at, fmt.Errorf(format, args...)).On("capacitor-config").
		Hint("see what it says by itself: npx cap config", "or give what it would have said: capstan bundle upload APP_ID -p FOLDER -b VERSION --server URL")
}

// thrown turns an exception into an error at the line of the source where it
// was thrown. goja has mapped the lines of the script back.
func thrown(file string, err error) error {
	if e, ok := errors.AsType[*goja.InterruptedError](err); ok {
		if cause, ok := e.Value().(error); ok && errors.Is(cause, context.Canceled) {
			return cause
		}
		return configError(file, "%v", e.Value())
	}
	e, ok := errors.AsType[*goja.Exception](err)
	if !ok {
		return configError(file, "%w", err)
	}
	text := strings.TrimPrefix(e.Value().String(), "GoError: ")
	for _, frame := range e.Stack() {
		if p := frame.Position(); p.Line > 0 && p.Filename != "" {
			name := p.Filename
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(file), filepath.FromSlash(name))
			}
			return configError(fmt.Sprintf("%s:%d", name, p.Line), "%s", text)
		}
	}
	return configError(file, "%s", text)
}

// prepare gives the script what configs use of Node: module, process.env, a
// few functions of path and fs. Anything else throws with the name of what is
// missing.
func (s *session) prepare(vm *goja.Runtime, file string) (*goja.Object, error) {
	module := vm.NewObject()
	exports := vm.NewObject()
	env := vm.NewObject()
	for _, kv := range s.environForCode() {
		name, value, _ := strings.Cut(kv, "=")
		if err := env.Set(name, value); err != nil {
			return nil, err
		}
	}
	process := vm.NewObject()
	quiet := func(goja.FunctionCall) goja.Value { return goja.Undefined() }
	console := map[string]any{"log": quiet, "info": quiet, "warn": quiet, "error": quiet, "debug": quiet}
	return module, errors.Join(
		module.Set("exports", exports),
		process.Set("env", env),
		process.Set("cwd", func() string { return s.Dir }),
		process.Set("platform", nodePlatform()),
		process.Set("argv", []string{"node", file}),
		vm.Set("module", module), vm.Set("exports", exports), vm.Set("process", process), vm.Set("console", console),
		vm.Set("global", vm.GlobalObject()),
		vm.Set("__filename", file), vm.Set("__dirname", filepath.Dir(file)),
		vm.Set("require", func(name string) (any, error) { return s.nodeModule(vm, strings.TrimPrefix(name, "node:")) }),
	)
}

func nodePlatform() string {
	if runtime.GOOS == "windows" {
		return "win32"
	}
	return runtime.GOOS
}

// nodeModule is the part of a Node module that configs use.
func (s *session) nodeModule(vm *goja.Runtime, name string) (any, error) {
	switch name {
	case "path":
		join := func(parts ...string) string { return filepath.ToSlash(filepath.Join(parts...)) }
		return map[string]any{
			"join": join, "dirname": path.Dir, "basename": path.Base, "extname": path.Ext, "sep": "/",
			"resolve": func(parts ...string) string {
				at := s.Dir
				for _, p := range parts {
					if filepath.IsAbs(p) {
						at = p
					} else {
						at = filepath.Join(at, p)
					}
				}
				return filepath.ToSlash(at)
			},
		}, nil
	case "fs":
		return map[string]any{
			"existsSync": func(file string) bool { _, err := os.Stat(s.path(file)); return err == nil },
			"readFileSync": func(file string, _ goja.Value) (string, error) {
				b, err := os.ReadFile(s.path(file))
				return string(b), err
			},
		}, nil
	}
	return nil, fmt.Errorf("it needs the Node module %q, which only the Capacitor CLI of the project can give: npm install @capacitor/cli", name)
}

// exported returns what the module exports, as Capacitor reads it: the default
// export where there is one, a promise of it once it is kept.
func exported(vm *goja.Runtime, module *goja.Object, file string) ([]byte, error) {
	value := module.Get("exports")
	if o, ok := value.(*goja.Object); ok {
		if d := o.Get("default"); d != nil && !goja.IsUndefined(d) {
			value = d
		}
	}
	if p, ok := value.Export().(*goja.Promise); ok {
		switch p.State() {
		case goja.PromiseStateRejected:
			return nil, configError(file, "%s", p.Result())
		case goja.PromiseStatePending:
			return nil, configError(file, "it waits for something that never comes")
		}
		value = p.Result()
	}
	stringify, ok := goja.AssertFunction(vm.Get("JSON").ToObject(vm).Get("stringify"))
	if !ok {
		return nil, configError(file, "it replaced JSON.stringify")
	}
	text, err := stringify(goja.Undefined(), value)
	if err != nil {
		return nil, thrown(file, err)
	}
	if goja.IsUndefined(text) || !strings.HasPrefix(text.String(), "{") {
		return nil, configError(file, "it exports no config")
	}
	return []byte(text.String()), nil
}
