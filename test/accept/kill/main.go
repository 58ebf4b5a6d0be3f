// Command kill shows that nothing acknowledged is lost when the server dies:
// while writers upload, publish and report, it is killed at random moments,
// started again, and everything that it ever acknowledged is looked for.
//
//	make accept-kill          or: go run ./test/accept/kill -cycles 200
//
// It kills only the server that it started, and talks to loopback only.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/pack"
	"github.com/capstan-ota/capstan/internal/store"
)

const (
	app    = "com.example.kill"
	device = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	// fewest acknowledgements that make the result mean something, per cycle.
	fewest = 2
)

func main() {
	cycles := flag.Int("cycles", 20, "how often the server is killed")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the moments")
	flag.Parse()
	r := &run{random: mathrand.New(mathrand.NewPCG(*seed, 0)), versions: map[string]capstan.Digest{}}
	err := r.all(*cycles)
	acks := len(r.versions) + int(r.releases) + r.events
	figures := fmt.Sprintf("cycles=%d bundles=%d releases=%d events=%d lost=%d start_ms_max=%d seed=%d",
		r.cycles, len(r.versions), r.releases, r.events, r.lost, r.slowest.Milliseconds(), *seed)
	if err == nil && acks < fewest**cycles {
		err = fmt.Errorf("only %d acknowledgements, want at least %d", acks, fewest**cycles)
	}
	if err != nil || r.lost > 0 {
		fmt.Printf("%v\naccept kill: FAIL %s\n", err, figures)
		os.Exit(1)
	}
	fmt.Println("accept kill: ok " + figures)
}

// run is what was acknowledged, and what became of it.
type run struct {
	random *mathrand.Rand
	dir    string
	token  string

	mu       sync.Mutex
	versions map[string]capstan.Digest // archive of each registered version
	releases int64                     // number of the newest acknowledged release
	events   int
	tried    int // versions that were begun, acknowledged or not

	cycles  int
	lost    int
	slowest time.Duration
}

func (r *run) all(cycles int) (err error) {
	if r.dir, err = os.MkdirTemp("", "capstan-kill-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	build := exec.Command("go", "build", "-o", filepath.Join(r.dir, "capstan"), "./cmd/capstan")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if r.token, _, err = auth.NewToken(rand.Reader, "admin"); err != nil {
		return err
	}
	for r.cycles < cycles {
		if err := r.cycle(); err != nil {
			return fmt.Errorf("cycle %d: %w", r.cycles, err)
		}
		r.cycles++
	}
	return r.lookForEvents(r.events)
}

// cycle starts the server, looks for everything, writes, and kills it.
func (r *run) cycle() error {
	begin := time.Now()
	server, url, err := r.start()
	if err != nil {
		return err
	}
	r.slowest = max(r.slowest, time.Since(begin))
	killed := false
	defer func() {
		if !killed {
			server.Process.Kill()
			server.Wait()
		}
	}()
	c, err := client.New(url, r.token, client.Options{HTTP: &http.Client{Timeout: 20 * time.Second}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if r.cycles == 0 {
		if _, err := c.CreateApp(ctx, client.NewApp{ID: app}); err != nil {
			return err
		}
		if _, err := c.CreateChannel(ctx, app, client.NewChannel{Name: "production"}); err != nil {
			return err
		}
	} else if err := r.lookFor(ctx, c); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil && r.publish(ctx, c) == nil {
		}
	})
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil && r.report(ctx, url) == nil {
			}
		})
	}
	<-time.After(time.Duration(100+r.random.IntN(600)) * time.Millisecond)
	err = server.Process.Kill()
	killed = true
	_ = server.Wait() // killed, as it was told to be
	stop()
	wg.Wait()
	return err
}

func (r *run) start() (*exec.Cmd, string, error) {
	cmd := exec.Command(filepath.Join(r.dir, "capstan"), "serve", "--data", filepath.Join(r.dir, "data"), "--listen", "127.0.0.1:0", "--json")
	cmd.Env = append(os.Environ(), "CAPSTAN_BOOTSTRAP_TOKEN="+r.token)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	var started struct {
		PublicURL string `json:"public_url"`
	}
	if err := json.UnmarshalDecode(jsontext.NewDecoder(out), &started); err != nil {
		cmd.Process.Kill()
		return nil, "", fmt.Errorf("the server did not start: %w\n%s", errors.Join(err, cmd.Wait()), log.String())
	}
	return cmd, started.PublicURL, nil
}

// publish uploads a small bundle and puts it on the channel.
func (r *run) publish(ctx context.Context, c *client.Client) error {
	r.mu.Lock()
	r.tried++
	version := fmt.Sprintf("1.0.%d", r.tried)
	r.mu.Unlock()
	folder := filepath.Join(r.dir, "web")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	page := "<!doctype html><script>CapacitorUpdater.notifyAppReady()</script>" + version
	if err := os.WriteFile(filepath.Join(folder, "index.html"), []byte(page), 0o644); err != nil {
		return err
	}
	src, err := pack.Folder(ctx, folder, pack.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	for _, content := range src.Contents() {
		stored, err := src.Encode(ctx, content)
		if err != nil {
			return err
		}
		body, err := stored.Open()
		if err != nil {
			return err
		}
		want := client.Content{Digest: stored.Digest, Size: stored.Size}
		err = c.PutContent(ctx, app, want, stored.Encoding, stored.Blob, stored.BlobBytes, body)
		body.Close()
		if err != nil {
			return err
		}
	}
	var zip bytes.Buffer
	archive, err := src.WriteArchive(ctx, &zip)
	if err != nil {
		return err
	}
	if err := c.PutArchive(ctx, app, archive.Digest, archive.Bytes, &zip); err != nil {
		return err
	}
	if _, err := c.RegisterBundle(ctx, app, client.NewBundle{Version: version, Files: src.Manifest, Archive: archive.Digest}); err != nil {
		return err
	}
	r.mu.Lock()
	r.versions[version] = archive.Digest
	r.mu.Unlock()
	ch, err := c.Channel(ctx, app, "production")
	if err != nil {
		return err
	}
	made, err := c.Release(ctx, app, "production", ch.Number, client.NewRelease{Version: version})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.releases = max(r.releases, made.Number)
	r.mu.Unlock()
	return nil
}

// report sends one event as a plugin does, without a timestamp, so that none is
// taken for a repetition.
func (r *run) report(ctx context.Context, url string) error {
	body := fmt.Sprintf(`{"app_id":%q,"device_id":%q,"platform":"android","action":"set","version_name":"1.0.1"}`, app, device)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/stats", strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(answer) != `{"status":"ok"}` {
		return fmt.Errorf("stats: %s %s: %w", resp.Status, answer, err)
	}
	r.mu.Lock()
	r.events++
	r.mu.Unlock()
	return nil
}

// lookFor asks the server for every bundle and release that it acknowledged.
func (r *run) lookFor(ctx context.Context, c *client.Client) error {
	for version, archive := range r.versions {
		body, _, err := c.Download(ctx, app, version)
		if err != nil {
			r.lost++
			fmt.Printf("cycle %d: %s: %v\n", r.cycles, version, err)
			continue
		}
		b, err := io.ReadAll(body)
		body.Close()
		if err != nil || capstan.DigestOf(b) != archive {
			r.lost++
			fmt.Printf("cycle %d: %s has other bytes: %v\n", r.cycles, version, err)
		}
	}
	list, _, err := c.Releases(ctx, app, "production", client.Page{Limit: 1})
	if err != nil {
		return err
	}
	if r.releases > 0 && (len(list) == 0 || list[0].Number < r.releases) {
		r.lost++
		fmt.Printf("cycle %d: release %d is lost, the newest is %+v\n", r.cycles, r.releases, list)
	}
	return nil
}

// lookForEvents counts what is stored once the server is gone, after showing
// that the count would notice: one event more than acknowledged must be missed.
func (r *run) lookForEvents(acknowledged int) error {
	db, err := store.Open(context.Background(), store.Options{Dir: filepath.Join(r.dir, "data"), Now: time.Now})
	if err != nil {
		return err
	}
	defer db.Close()
	id, _ := capstan.ParseDeviceID(device)
	stored, before := 0, ""
	for {
		page, err := db.Events(context.Background(), app, id, 1000, before)
		if err != nil {
			return err
		}
		stored += len(page)
		if len(page) < 1000 {
			break
		}
		before = page[len(page)-1].ID
	}
	if missing(stored, stored+1) != 1 {
		return errors.New("the check cannot see a planted loss")
	}
	r.lost += missing(stored, acknowledged)
	return nil
}

// missing is how many of the acknowledged are not stored. More may be: what was
// written and not yet acknowledged when the server died.
func missing(stored, acknowledged int) int { return max(0, acknowledged-stored) }
