//go:build unix

package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets a test run this binary as the command itself.
func TestMain(m *testing.M) {
	if os.Getenv("CAPSTAN_TEST_MAIN") != "" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

func TestUnreadableFileIsNamed(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	if err := os.Chmod(filepath.Join(d.Dir, "dist", "main.js"), 0); err != nil {
		t.Fatal(err)
	}
	r := d.run("bundle", "check")
	if os.Geteuid() == 0 {
		r = d.runAsNobody("bundle", "check")
	}
	if r.code != 2 || !strings.Contains(r.err, "main.js cannot be read") || !strings.Contains(r.err, "code folder, at main.js") {
		t.Errorf("exit %d\n%s", r.code, r.err)
	}
}

// runAsNobody runs the command as a user whom permissions stop, which root is
// not.
func (d *developer) runAsNobody(args ...string) result {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	// The build's own folder is closed to others.
	binary := filepath.Join(d.home(), "capstan.test")
	if err := copyFile(binary, self); err != nil {
		d.t.Fatal(err)
	}
	for dir := d.Dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	var out, problems bytes.Buffer
	c := exec.Command(binary, args...)
	c.Dir, c.Env, c.Stdout, c.Stderr = d.Dir, append(d.Environ, "CAPSTAN_TEST_MAIN=1"), &out, &problems
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	err = c.Run()
	r := result{0, out.String(), problems.String()}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code = e.ExitCode()
	} else if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
