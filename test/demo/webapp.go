package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The web application of the demo: two adjacent versions of a package that
// people really ship.
const (
	npmPackage = "swagger-ui-dist"
	oldVersion = "5.34.1"
	newVersion = "5.35.0"
)

// notify is what every Capacitor app adds to its web build.
const notify = `// Tell the updater that this bundle works; without it, the device goes back.
window.Capacitor?.Plugins?.CapacitorUpdater?.notifyAppReady();
`

// webapp makes two folders with adjacent versions of a web application below
// dir and says what they are. Without npm it is the example of this repository.
func webapp(ctx context.Context, dir string) (older, newer, what string, err error) {
	older, newer = filepath.Join(dir, "web-1"), filepath.Join(dir, "web-2")
	if err := errors.Join(fetch(ctx, oldVersion, older), fetch(ctx, newVersion, newer)); err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		what = "examples/hello/www, since npm could not be reached (" + why + ")"
		return older, newer, what, errors.Join(example(older, "1.0.0"), example(newer, "1.1.0"))
	}
	what = fmt.Sprintf("%s %s and %s from npm", npmPackage, oldVersion, newVersion)
	for _, folder := range []string{older, newer} {
		if err := addNotify(folder); err != nil {
			return "", "", "", err
		}
	}
	return older, newer, what, nil
}

// fetch unpacks one version of the package into folder. The packed file is
// kept in the user's cache for the next run.
func fetch(ctx context.Context, version, folder string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "capstan-demo")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	packed := filepath.Join(cache, npmPackage+"-"+version+".tgz")
	if _, err := os.Stat(packed); errors.Is(err, fs.ErrNotExist) {
		if _, err := run(exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", cache, npmPackage+"@"+version)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	_, err = run(exec.CommandContext(ctx, "tar", "-xzf", packed, "-C", folder, "--strip-components=1", "--exclude=*.map", "--exclude=*es-bundle*"))
	return err
}

// addNotify adds the one call that every app needs.
func addNotify(folder string) error {
	if err := os.WriteFile(filepath.Join(folder, "capstan-demo.js"), []byte(notify), 0o644); err != nil {
		return err
	}
	return edit(folder, "</body>", `<script src="capstan-demo.js"></script></body>`)
}

// edit replaces a text in the index.html of a folder.
func edit(folder, old, new string) error {
	file := filepath.Join(folder, "index.html")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Contains(page, []byte(old)) {
		return fmt.Errorf("%s has no %q to replace", file, old)
	}
	return os.WriteFile(file, bytes.Replace(page, []byte(old), []byte(new), 1), 0o644)
}

// example copies the example app of this repository as the given version.
func example(folder, version string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.CopyFS(folder, os.DirFS("examples/hello/www")); err != nil {
		return err
	}
	file := filepath.Join(folder, "app.js")
	script, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Replace(script, []byte("1.0.0"), []byte(version), 1), 0o644)
}

// contents reads a folder as the web files of a store build.
func contents(folder string) (map[string][]byte, error) {
	files := map[string][]byte{}
	root := os.DirFS(folder)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(root, path)
		return err
	})
	return files, err
}

// run runs a command and returns what it printed; an error carries what it
// printed about it.
func run(cmd *exec.Cmd) (string, error) {
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, errOut.String())
	}
	return out.String(), nil
}
