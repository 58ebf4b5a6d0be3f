package api_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
)

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestWhoami(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	text := w.newToken(capstan.Token{Name: "CI", Scopes: []string{"app:read"}, ExpiresAt: expires})
	me := get(w, func() (client.Whoami, error) { return w.clientWith(text).Whoami(t.Context()) })
	diff(t, "whoami", client.Whoami{
		Token: me.Token, Name: "CI", Org: capstan.DefaultOrg, Scopes: []string{"app:read"}, ExpiresAt: expires,
		Server: "1.2.3", PublicURL: publicURL,
	}, me)
	if me.Token == "" || !strings.Contains(text, me.Token) {
		t.Errorf("the token %q is not that of the caller", me.Token)
	}
}

func TestApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	if list, err := w.Apps(ctx); err != nil || len(list) != 0 {
		t.Errorf("apps at the start: %v, %v", list, err)
	}
	b := get(w, func() (client.App, error) {
		return w.CreateApp(ctx, client.NewApp{ID: "com.example.b", Name: "B", SelfSet: true, ExposeMetadata: true})
	})
	a := get(w, func() (client.App, error) { return w.CreateApp(ctx, client.NewApp{ID: "com.example.a"}) })
	if a.Name != a.ID || !b.SelfSet || !b.ExposeMetadata || b.Name != "B" || a.Number <= b.Number || a.CreatedAt.IsZero() {
		t.Errorf("made %+v and %+v", a, b)
	}
	list := get(w, func() ([]client.App, error) { return w.Apps(ctx) })
	diff(t, "apps", []client.App{a, b}, list)
	one := get(w, func() (client.App, error) { return w.App(ctx, b.ID) })
	diff(t, "app", b, one)
	w.wantCode("no such app", second(w.App(ctx, "com.example.c")), capstan.CodeAppNotFound)
	w.must(w.DeleteApp(ctx, a.ID, a.Number))
	list = get(w, func() ([]client.App, error) { return w.Apps(ctx) })
	diff(t, "apps after a deletion", []client.App{b}, list)
}

func second[T any](_ T, err error) error { return err }

func TestChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	device := phone(1, "")
	device.Channel = "production"
	w.seen(device)

	ios, yes, no, policy := []capstan.Platform{capstan.IOS}, true, false, capstan.Policy("minor")
	made := get(w, func() (client.ChannelChanged, error) {
		return w.CreateChannel(ctx, app, client.NewChannel{Name: "team/beta",
			Default: &ios, SelfAssign: &yes, Policy: &policy, Emulator: &no})
	})
	if !slices.Equal(made.Default, ios) || !made.SelfAssign || made.Policy != "minor" || made.Emulator || !made.Prod || len(made.Live) != 0 || made.Live == nil {
		t.Errorf("made %+v", made)
	}
	diff(t, "moved defaults", []client.DefaultMoved{{Platform: capstan.IOS, From: "production", Devices: 1}}, made.Moved)

	production := w.channel()
	if !slices.Equal(production.FormerDefault, ios) || slices.Contains(production.Default, capstan.IOS) {
		t.Errorf("production has the defaults %v and had %v", production.Default, production.FormerDefault)
	}
	if len(production.Live) != 1 || production.Live[0].Version != "1.0.2" || production.Live[0].Number != 2 || !production.Live[0].Live {
		t.Errorf("production serves %+v", production.Live)
	}
	edited := get(w, func() (client.ChannelChanged, error) {
		return w.EditChannel(ctx, app, "team/beta", made.Number, client.ChannelEdit{Default: &[]capstan.Platform{}, UnderNative: &yes, Prod: &no})
	})
	if len(edited.Default) != 0 || !edited.UnderNative || edited.Prod || !edited.SelfAssign || edited.Number <= made.Number {
		t.Errorf("edited to %+v", edited)
	}
	list := get(w, func() ([]client.Channel, error) { return w.Channels(ctx, app) })
	diff(t, "channels", []client.Channel{w.channel(), edited.Channel}, list)
	w.must(w.DeleteChannel(ctx, app, "team/beta", edited.Number))
	w.wantCode("deleted channel", second(w.Channel(ctx, app, "team/beta")), capstan.CodeChannelNotFound)
}

func TestReleaseAndRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	w.bundle("1.0.3")
	before := w.channel()
	r := w.release("1.0.3")
	if r.Number != 3 || r.Version != "1.0.3" || r.Previous != "1.0.2" || !r.Live || r.ShareBP != capstan.ShareAll || r.DeltaFiles != 2 ||
		r.DeltaBytes == 0 || r.ChannelNumber <= before.Number || len(r.Platforms) != 3 || len(r.Default) != 3 || r.By == "" {
		t.Errorf("release %+v", r)
	}
	again := get(w, func() (client.Released, error) {
		return w.Release(ctx, app, "production", r.ChannelNumber, client.NewRelease{Version: "1.0.3"})
	})
	if !again.Unchanged || again.Number != 3 || again.ChannelNumber != r.ChannelNumber {
		t.Errorf("the same release again %+v", again)
	}
	back := get(w, func() (client.Released, error) { return w.Rollback(ctx, app, "production", 0, client.Rollback{}) })
	if back.Version != "1.0.2" || back.Number != 4 || !slices.Equal(back.Ended, []int64{3}) || back.Previous != "1.0.3" {
		t.Errorf("rollback %+v", back)
	}
	further := get(w, func() (client.Released, error) {
		return w.Rollback(ctx, app, "production", back.ChannelNumber, client.Rollback{ToRelease: 1})
	})
	if further.Version != "1.0.1" || further.Builtin {
		t.Errorf("rollback to release 1 %+v", further)
	}
	if got := w.do(w.request("POST", "/v1/apps/"+app+"/channels/production/rollback", "")); got.StatusCode != 409 || got.problem.Code != capstan.CodeNothingEarlier {
		t.Errorf("rollback without body, with nothing earlier: %d %s", got.StatusCode, got.body)
	}
	builtin := get(w, func() (client.Released, error) {
		return w.Rollback(ctx, app, "production", 0, client.Rollback{ToBuiltin: true})
	})
	if !builtin.Builtin || builtin.Version != "" {
		t.Errorf("rollback to built-in %+v", builtin)
	}
	list, next, err := w.Releases(ctx, app, "production", client.Page{})
	w.must(err)
	var numbers []int64
	var live []int64
	for _, r := range list {
		numbers = append(numbers, r.Number)
		if r.Live {
			live = append(live, r.Number)
		}
	}
	if !slices.Equal(numbers, []int64{6, 5, 4, 3, 2, 1}) || !slices.Equal(live, []int64{6}) || next != "" {
		t.Errorf("releases %v, live %v, next %q", numbers, live, next)
	}
	if list[3].EndReason != capstan.EndRolledBack || list[3].EndedAt.IsZero() {
		t.Errorf("the release that was taken back is %+v", list[3])
	}
}

func TestBundles(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	src := w.source(site("1.1.0"))
	in, _ := w.send("1.1.0", src)
	in.NativeMin = map[capstan.Platform]string{capstan.IOS: "1.0.0"}
	in.Link, in.Comment = "https://example.com/notes", "notes"
	made := get(w, func() (client.Registered, error) { return w.RegisterBundle(ctx, app, in) })
	if made.Existed || made.State != capstan.BundleReady || made.Root != src.Root || made.Files != len(src.Manifest) || made.Bytes != src.Bytes ||
		!made.DeltaOffered || made.NativeMin[capstan.IOS] != "1.0.0" || made.Link != in.Link || made.Comment != in.Comment ||
		made.Channels == nil || len(made.Channels) != 0 || made.CreatedBy == "" || made.Archive != in.Archive {
		t.Errorf("registered %+v", made)
	}
	one := get(w, func() (client.Bundle, error) { return w.Bundle(ctx, app, "1.1.0") })
	diff(t, "bundle", made.Bundle, one)
	if live := get(w, func() (client.Bundle, error) { return w.Bundle(ctx, app, "1.0.2") }); !slices.Equal(live.Channels, []string{"production"}) {
		t.Errorf("1.0.2 is live on %v", live.Channels)
	}

	files := get(w, func() ([]client.StoredFile, error) { return w.BundleFiles(ctx, app, "1.1.0") })
	var stored []capstan.File
	for _, f := range files {
		stored = append(stored, capstan.File{Path: f.Path, Digest: f.Digest, Size: f.Size})
		if f.Blob == "" || f.BlobBytes == 0 || f.Encoding == "" {
			t.Errorf("file %+v lacks its stored form", f)
		}
	}
	diff(t, "files", []capstan.File(src.Manifest), stored)

	d := get(w, func() (client.Diff, error) { return w.BundleDiff(ctx, app, "1.0.1", "1.1.0") })
	var bytesOf int64
	paths := func(files []client.StoredFile) (list []string) {
		for _, f := range files {
			list = append(list, f.Path)
			bytesOf += f.BlobBytes
		}
		return list
	}
	diff(t, "added", []string{"1.1.0.txt"}, paths(d.Added))
	diff(t, "changed", []string{"app.js"}, paths(d.Changed))
	diff(t, "removed", []string{"1.0.1.txt"}, d.Removed)
	if d.From != "1.0.1" || d.To != "1.1.0" || d.Unchanged != 4 || d.Bytes != bytesOf || d.ZipBytes != made.ArchiveBytes {
		t.Errorf("diff %+v, want %d bytes", d, bytesOf)
	}
	none := get(w, func() (client.Diff, error) { return w.BundleDiff(ctx, app, "1.1.0", "1.1.0") })
	if none.Added == nil || none.Changed == nil || none.Removed == nil || none.Unchanged != len(files) {
		t.Errorf("diff with itself %+v", none)
	}

	body, size, err := w.Download(ctx, app, "1.1.0")
	w.must(err)
	text := get(w, func() ([]byte, error) { return io.ReadAll(body) })
	w.must(body.Close())
	r, err := zip.NewReader(bytes.NewReader(text), size)
	if err != nil || len(r.File) != len(files) || capstan.DigestOf(text) != made.Archive || size != made.ArchiveBytes {
		t.Errorf("downloaded %d bytes of %d: %v", len(text), size, err)
	}

	w.must(w.DeleteBundle(ctx, app, "1.1.0", made.Number))
	gone := get(w, func() (client.Bundle, error) { return w.Bundle(ctx, app, "1.1.0") })
	if gone.State != capstan.BundleGone || gone.Number <= made.Number {
		t.Errorf("deleted bundle %+v", gone)
	}
	_, _, err = w.Download(ctx, app, "1.1.0")
	w.wantCode("download of a deleted bundle", err, capstan.CodeBytesGone)
	_, err = w.Release(ctx, app, "production", w.channel().Number, client.NewRelease{Version: "1.1.0"})
	w.wantCode("release of a deleted bundle", err, capstan.CodeBytesGone)
	ready, _, err := w.Bundles(ctx, app, false, client.Page{})
	w.must(err)
	all, _, err := w.Bundles(ctx, app, true, client.Page{})
	w.must(err)
	if len(ready) != 2 || len(all) != 3 || all[0].Version != "1.1.0" {
		t.Errorf("%d ready bundles and %d in all, want 2 and 3", len(ready), len(all))
	}
}

// walk reads a listing page by page and returns what the pages held.
func walk[T any](w *world, limit int, read func(client.Page) ([]T, string, error), name func(T) string) [][]string {
	w.t.Helper()
	var pages [][]string
	for after := ""; ; {
		list, next, err := read(client.Page{After: after, Limit: limit})
		w.must(err)
		var page []string
		for _, v := range list {
			page = append(page, name(v))
		}
		pages = append(pages, page)
		if next == "" || len(pages) > 20 {
			return pages
		}
		after = next
	}
}

func TestListingsArePaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	for i := 3; i <= 4; i++ {
		version := fmt.Sprintf("1.0.%d", i)
		w.bundle(version)
		w.release(version)
	}
	for i := range byte(4) {
		w.seen(phone(i, ""))
	}
	for _, tt := range []struct {
		limit int
		want  [][]int // the nth, newest first
	}{
		{1, [][]int{{4}, {3}, {2}, {1}}},
		{2, [][]int{{4, 3}, {2, 1}}}, // a page that ends with the list is the last
		{3, [][]int{{4, 3, 2}, {1}}},
		{0, [][]int{{4, 3, 2, 1}}},
	} {
		named := func(form func(int) string) (pages [][]string) {
			for _, p := range tt.want {
				var page []string
				for _, n := range p {
					page = append(page, form(n))
				}
				pages = append(pages, page)
			}
			return pages
		}
		diff(t, "bundles", named(func(n int) string { return fmt.Sprintf("1.0.%d", n) }), walk(w, tt.limit, func(p client.Page) ([]client.Bundle, string, error) {
			return w.Bundles(ctx, app, false, p)
		}, func(b client.Bundle) string { return b.Version }))
		diff(t, "releases", named(func(n int) string { return fmt.Sprint(n) }), walk(w, tt.limit, func(p client.Page) ([]client.Release, string, error) {
			return w.Releases(ctx, app, "production", p)
		}, func(r client.Release) string { return fmt.Sprint(r.Number) }))
		// The device that asked most recently has the lowest id.
		diff(t, "devices", named(func(n int) string { return capstan.DeviceID{15: byte(4 - n)}.String() }), walk(w, tt.limit, func(p client.Page) ([]client.Device, string, error) {
			return w.Devices(ctx, app, p)
		}, func(d client.Device) string { return d.ID }))
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	all := get(w, func() ([]client.Change, error) { return w.Changes(ctx, app, 0, 500) })
	var nouns []capstan.Noun
	for i, c := range all {
		nouns = append(nouns, c.Noun)
		if c.App != app || c.Actor == "" || c.At.IsZero() || c.After == "" || i > 0 && c.Number <= all[i-1].Number {
			t.Errorf("change %d is %+v", i, c)
		}
	}
	if len(all) < 4 || nouns[0] != capstan.NounApp || nouns[1] != capstan.NounChannel || nouns[2] != capstan.NounBundle {
		t.Errorf("changes of %v", nouns)
	}
	var paged []client.Change
	for after := int64(0); ; {
		page := get(w, func() ([]client.Change, error) { return w.Changes(ctx, app, after, 2) })
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		after = page[len(page)-1].Number
	}
	diff(t, "changes by pages", all, paged)
}

func TestDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	custom := strings.Repeat("ü/ ", 32) // 128 bytes, the longest that is kept
	d := phone(1, custom)
	dots := phone(2, "..")
	w.seen(d, dots)
	w.must(w.db.AppendEvents(ctx, []capstan.Event{{
		ID: "01990000-0000-7000-8000-000000000000", App: app, Device: d.ID, Action: "download_fail", Version: "1.0.1", ReceivedAt: time.Now(),
		Metadata: `{"why":"no room"}`, Platform: capstan.Android,
	}}))
	for key, want := range map[string]capstan.Device{
		d.ID.String(): d, strings.ToUpper(d.ID.String()): d, custom: d, "..": dots,
	} {
		got := get(w, func() (client.DeviceDetail, error) { return w.Device(ctx, app, key) })
		if got.ID != want.ID.String() || got.CustomID != want.CustomID || got.Running != "1.0.0" || got.Platform != capstan.Android || !got.Prod {
			t.Errorf("device %q is %+v", key, got)
		}
		if len(got.Events) != len(want.ID)-15 && want.ID == d.ID {
			t.Errorf("device %q has the events %+v", key, got.Events)
		}
	}
	got := get(w, func() (client.DeviceDetail, error) { return w.Device(ctx, app, custom) })
	if len(got.Events) != 1 || got.Events[0].Action != "download_fail" || got.Events[0].Metadata != `{"why":"no room"}` {
		t.Errorf("events %+v", got.Events)
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t).published()
	ctx := t.Context()
	d := phone(1, "mine")
	w.seen(d)
	query := map[string]any{
		"platform": "android", "device_id": d.ID.String(), "app_id": app, "version_build": "1.0.0", "version_name": "1.0.0",
		"plugin_version": "8.51.23", "is_prod": true, "is_emulator": false,
	}
	byDevice := get(w, func() (client.Why, error) { return w.Why(ctx, app, client.WhyQuery{Device: d.ID.String()}) })
	byCustom := get(w, func() (client.Why, error) { return w.Why(ctx, app, client.WhyQuery{Device: "mine"}) })
	byQuery := get(w, func() (client.Why, error) { return w.Why(ctx, app, client.WhyQuery{Query: query}) })
	diff(t, "by device and by custom id", byDevice, byCustom)
	diff(t, "by device and by query", byDevice, byQuery)
	if byQuery.Outcome != capstan.Offer || byQuery.Reason != capstan.ReasonNewRelease || byQuery.Channel != "production" || byQuery.Release != 2 ||
		byQuery.Version != "1.0.2" || byQuery.Form == "" || byQuery.Means == "" || len(byQuery.Steps) < 10 ||
		!strings.Contains(byQuery.Answer, `"version":"1.0.2"`) || !strings.Contains(byQuery.Answer, publicURL+"/blobs/") {
		t.Errorf("why %+v", byQuery)
	}

	query["version_build"], query["version_name"] = "0.9.0", "0.9.0"
	blocked := get(w, func() (client.Why, error) { return w.Why(ctx, app, client.WhyQuery{Query: query}) })
	if blocked.Outcome != capstan.Blocked || blocked.Reason != capstan.ReasonMajor || blocked.Fix == "" || blocked.Form != "" {
		t.Errorf("why a store build of another major gets nothing: %+v", blocked)
	}
	i := slices.IndexFunc(blocked.Steps, func(s client.Step) bool { return !s.Pass })
	if i < 0 || i != len(blocked.Steps)-1 || blocked.Steps[i].Detail == "" {
		t.Errorf("the last step is not the one that refused: %+v", blocked.Steps)
	}
}
