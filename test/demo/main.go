// Command demo does the main job end to end with the built binary: it starts a
// server on a temporary data directory, publishes two adjacent versions of a
// real web application, takes simulated devices from their store build over N
// to N+1, breaks a release and goes back, and shows that native code is
// refused. It prints what happened with bytes and times.
//
//	make demo          KEEP=1 leaves the server running
package main

import (
	"context"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/sim"
)

const (
	binary = "bin/capstan"
	app    = "com.example.demo"
	native = "1.0.0" // version of the store build
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := demo(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// stage is everything that the demo plays on.
type stage struct {
	ctx    context.Context
	dir    string
	url    string
	server *exec.Cmd
	began  time.Time
}

func demo(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "capstan-demo-")
	if err != nil {
		return err
	}
	s := &stage{ctx: ctx, dir: dir, began: time.Now()}
	defer func() { err = errors.Join(err, s.end(err)) }()
	older, newer, what, err := webapp(ctx, dir)
	if err != nil {
		return err
	}
	s.say("web app", "%s", what)
	if err := s.serve(); err != nil {
		return err
	}
	return s.play(older, newer)
}

func (s *stage) say(what, format string, args ...any) {
	fmt.Printf("%5.1fs  %-14s %s\n", time.Since(s.began).Seconds(), what, fmt.Sprintf(format, args...))
}

// serve starts the server and waits until it answers.
func (s *stage) serve() error {
	path, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	begin := time.Now()
	s.server = exec.Command(path, "serve", "--data", filepath.Join(s.dir, "data"), "--listen", "127.0.0.1:0", "--json")
	s.server.Dir = s.dir
	log, err := os.Create(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return err
	}
	s.server.Stderr = log
	out, err := s.server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.server.Start(); err != nil {
		return err
	}
	var started struct {
		PublicURL string `json:"public_url"`
	}
	if err := json.UnmarshalDecode(jsontext.NewDecoder(out), &started); err != nil {
		b, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the server did not start: %w\n%s", err, b)
	}
	s.url = started.PublicURL
	s.say("server", "%s answered after %d ms, on SQLite and disk", s.url, time.Since(begin).Milliseconds())
	return nil
}

// capstan runs a command of the CLI and decodes what it prints into out, which
// may be nil.
func (s *stage) capstan(out any, args ...string) error {
	path, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(s.ctx, path, append(args, "--json")...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CAPSTAN_URL="+s.url, "CAPSTAN_TOKEN="+s.token())
	text, err := run(cmd)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("read what capstan %s printed: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

func (s *stage) token() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "data", "admin-token"))
	return strings.TrimSpace(string(b))
}

// uploaded is the part of `bundle upload --json` that is told.
type uploaded struct {
	Releases []client.Released `json:"releases"`
}

func (s *stage) upload(folder, version string) error {
	begin := time.Now()
	var up uploaded
	if err := s.capstan(&up, "bundle", "upload", app, "-p", folder, "-b", version, "-c", "production"); err != nil {
		return err
	}
	if len(up.Releases) != 1 {
		return fmt.Errorf("upload of %s made %d releases", version, len(up.Releases))
	}
	release, next := up.Releases[0], "the first release"
	if release.Previous != "" {
		next = fmt.Sprintf("a phone on %s downloads %d files, %s", release.Previous, release.DeltaFiles, kB(release.DeltaBytes))
	}
	s.say("upload "+version, "release %d in %.1f s: %s", release.Number, time.Since(begin).Seconds(), next)
	return nil
}

// phone is a simulated device with a name.
type phone struct {
	name, id string
	*sim.Device
}

func (s *stage) phone(name string, platform capstan.Platform, builtin map[string][]byte) (phone, error) {
	profile, err := sim.NewProfile(platform, "")
	if err != nil {
		return phone{}, err
	}
	id := uuid.NewString()
	d, err := sim.New(profile, sim.Options{
		URLs: sim.At(s.url), AppID: app, DeviceID: id, NativeVersion: native, Build: "1", Prod: true, Builtin: builtin,
	})
	return phone{name, id, d}, err
}

// update takes a phone through a whole update and tells how it went.
func (s *stage) update(p phone, wantTo string, want sim.Outcome) error {
	begin := time.Now()
	r, err := p.Update(s.ctx)
	if err != nil {
		return err
	}
	how := fmt.Sprintf("zip of %s", kB(r.ZipBytes))
	switch {
	case r.ViaDelta:
		how = fmt.Sprintf("%d files by delta, %s; %d reused", r.FilesFetched, kB(r.DeltaBytes), r.FilesReused)
	case r.BytesDownloaded == 0:
		how = "nothing downloaded"
	}
	s.say(p.name, "%s → %s, %s: %s (%d ms)", r.From, r.To, strings.ReplaceAll(string(r.Outcome), "_", " "), how, time.Since(begin).Milliseconds())
	if r.To != wantTo || r.Outcome != want {
		return fmt.Errorf("%s: expected to end %s on %s: %+v", p.name, want, wantTo, r)
	}
	return nil
}

// play is the demo itself.
func (s *stage) play(older, newer string) error {
	builtin, err := contents(older)
	if err != nil {
		return err
	}
	var phones []phone
	for _, p := range []struct {
		name     string
		platform capstan.Platform
	}{{"Android 8.51", capstan.Android}, {"iOS 8.51", capstan.IOS}, {"Electron", capstan.Electron}} {
		made, err := s.phone(p.name, p.platform, builtin)
		if err != nil {
			return err
		}
		phones = append(phones, made)
	}
	everyone := func(to string, want sim.Outcome) error {
		for _, p := range phones {
			if err := s.update(p, to, want); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(s.capstan(nil, "app", "add", app), s.capstan(nil, "channel", "add", "production", app, "--default")); err != nil {
		return err
	}
	s.say("app", "%s with channel production, default for every platform", app)
	if err := s.upload(older, "1.0.1"); err != nil {
		return err
	}
	if err := everyone("1.0.1", sim.Updated); err != nil {
		return err
	}
	if err := s.upload(newer, "1.1.0"); err != nil {
		return err
	}
	if err := everyone("1.1.0", sim.Updated); err != nil {
		return err
	}
	if err := s.breakAndGoBack(phones, newer); err != nil {
		return err
	}
	return s.refuseNative(newer)
}

// breakAndGoBack publishes a bundle whose app never starts: the phone goes
// back by itself and is not offered it again, then the operator takes it back
// for everybody.
func (s *stage) breakAndGoBack(phones []phone, newer string) error {
	broken := filepath.Join(s.dir, "web-broken")
	if err := os.CopyFS(broken, os.DirFS(newer)); err != nil {
		return err
	}
	if err := edit(broken, "<html", "<html "+sim.BrokenMark); err != nil {
		return err
	}
	if err := s.upload(broken, "1.2.0"); err != nil {
		return err
	}
	android, ios := phones[0], phones[1]
	if err := s.update(android, "1.1.0", sim.RolledBack); err != nil {
		return err
	}
	if err := s.update(android, "1.1.0", sim.UpToDate); err != nil {
		return err
	}
	var why struct {
		Reason string     `json:"reason"`
		Steps  []struct{} `json:"steps"`
	}
	if err := s.capstan(&why, "why", android.id, app); err != nil {
		return err
	}
	s.say("why", "the phone is told %s, after %d gates", why.Reason, len(why.Steps))
	begin := time.Now()
	if err := s.capstan(nil, "rollback", "production", app); err != nil {
		return err
	}
	s.say("rollback", "production serves 1.1.0 again, %d ms for the whole command", time.Since(begin).Milliseconds())
	return s.update(ios, "1.1.0", sim.UpToDate)
}

// refuseNative shows the gate: a shared library, renamed to a picture.
func (s *stage) refuseNative(newer string) error {
	folder := filepath.Join(s.dir, "web-native")
	if err := os.CopyFS(folder, os.DirFS(newer)); err != nil {
		return err
	}
	elf := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 57)...)
	if err := os.WriteFile(filepath.Join(folder, "logo.png"), elf, 0o644); err != nil {
		return err
	}
	err := s.capstan(nil, "bundle", "upload", app, "-p", folder, "-b", "1.3.0", "-c", "production")
	if err == nil || !strings.Contains(err.Error(), string(capstan.CodeNativeCode)) {
		return fmt.Errorf("a bundle with native code was not refused: %w", err)
	}
	s.say("native code", "logo.png is an ELF library: refused with code %s, nothing was sent", capstan.CodeNativeCode)
	return nil
}

func kB(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1000)
}

// end stops the server, or with KEEP=1 says how to reach it.
func (s *stage) end(failed error) error {
	keep := os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0"
	if keep && s.server != nil && s.server.Process != nil && failed == nil {
		fmt.Printf("\nThe server is left running at %s, process %d, data in %s.\n", s.url, s.server.Process.Pid, s.dir)
		fmt.Printf("  export CAPSTAN_URL=%s CAPSTAN_TOKEN=$(cat %s)\n  kill %d\n", s.url, filepath.Join(s.dir, "data", "admin-token"), s.server.Process.Pid)
		return s.server.Process.Release()
	}
	if failed != nil {
		if log, err := os.ReadFile(filepath.Join(s.dir, "server.log")); err == nil && len(log) > 0 {
			fmt.Fprintf(os.Stderr, "the server's log:\n%s\n", log)
		}
	}
	var err error
	if s.server != nil && s.server.Process != nil {
		if err = s.server.Process.Signal(syscall.SIGTERM); err == nil {
			err = s.server.Wait()
		}
	}
	if failed == nil && err == nil {
		s.say("done", "everything above was checked, not only printed")
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
