package capgo

import (
	"slices"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/golden"
)

func (r *rig) compile(t testing.TB) *decide.App {
	t.Helper()
	app, err := decide.Compile(r.state)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// Every form that a decision can come to must be there, so that no check
// encodes anything.
func TestPrepareMakesEveryFormThatCanBeOffered(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*rig){
		"plain":              func(*rig) {},
		"metadata":           func(r *rig) { r.state.App.ExposeMetadata, r.bundle().Link = true, "https://example.com" },
		"metadata kept back": func(r *rig) { r.bundle().Comment = "secret" },
		"zip only":           func(r *rig) { r.bundle().DeltaOffered = false; r.state.Files = nil },
	} {
		r := newRig()
		edit(r)
		r.release("1.2.1")
		app := r.compile(t)
		Prepare(app, nil, public)
		asked, err := AskedByBody([]byte(text(t, info(nil))), appID)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []string{"5.0.0", "5.10.0", "5.35.0", "6.0.0", "6.24.0", "6.35.0", "7.0.0", "7.25.0", "7.35.0", "8.0.0", "8.35.0", "10.0.0", "11.0.0"} {
			q := asked.Query
			q.Plugin = plugin{version: parsed(t, l)}.capabilities()
			for _, failed := range [][]capstan.Failure{nil, {{Version: "1.2.1", Release: 2}}} {
				d := decide.Decide(app, decide.Overlay{Failures: failed}, &q)
				if d.Outcome != capstan.Offer || d.Bundle.Answers[d.Form].Identity == nil {
					t.Errorf("%s, plugin %s: %s of %v in form %s was not prepared", name, l, d.Outcome, d.Bundle, d.Form)
				}
			}
		}
	}
}

func TestPrepareTakesWhatItEncodedBefore(t *testing.T) {
	t.Parallel()
	r := newRig()
	first := r.compile(t)
	Prepare(first, nil, public)
	for name, tt := range map[string]struct {
		edit   func(*rig)
		reused bool
	}{
		"nothing changed":        {func(*rig) {}, true},
		"a rule changed":         {func(r *rig) { r.channel(0).Prod = false }, true},
		"metadata exposed":       {func(r *rig) { r.state.App.ExposeMetadata = true }, false},
		"stored under new names": {func(r *rig) { r.state.Files["id-1.2.0"][1].Blob = capstan.DigestOf([]byte("again")) }, false},
		"another archive":        {func(r *rig) { r.bundle().Archive = capstan.DigestOf([]byte("again")) }, false},
		"another comment":        {func(r *rig) { r.bundle().Comment = "new" }, false},
	} {
		r := newRig()
		r.state.Files["id-1.2.0"] = slices.Clone(r.state.Files["id-1.2.0"])
		tt.edit(r)
		next := r.compile(t)
		Prepare(next, first, public)
		a, b := first.Bundles["id-1.2.0"].Answers[0].Identity, next.Bundles["id-1.2.0"].Answers[0].Identity
		if reused := &a[0] == &b[0]; reused != tt.reused {
			t.Errorf("%s: answers are taken from before: %t, want %t", name, reused, tt.reused)
		}
	}
}

func TestGzipOnlyWhereItHelps(t *testing.T) {
	t.Parallel()
	r := bigRig()
	app := r.compile(t)
	Prepare(app, nil, public)
	small := newRig()
	small.bundle().Archive, small.bundle().ArchiveCRC32 = "", ""
	tiny := small.compile(t)
	Prepare(tiny, nil, public)
	if a := tiny.Bundles["id-1.2.0"].Answers[0]; a.Identity == nil || a.Gzip != nil {
		t.Errorf("%d bytes were compressed to %d", len(a.Identity), len(a.Gzip))
	}
	for f, a := range app.Bundles["id-1.2.0"].Answers {
		if a.Gzip != nil && len(a.Gzip) >= len(a.Identity) {
			t.Errorf("form %s: %d bytes compressed, %d plain", decide.Form(f), len(a.Gzip), len(a.Identity))
		}
	}
	if a := app.Bundles["id-1.2.0"].Answers[decide.FormDelta]; a.Gzip == nil || len(a.Gzip) > len(a.Identity)/2 {
		t.Errorf("200 files: %d bytes compressed, %d plain", len(a.Gzip), len(a.Identity))
	}
}

func TestBundleWithoutZipStillHasAnAddress(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.bundle().Archive = ""
	_, got, _ := ask(t, r.handler(t), "POST", "/updates", info(nil))
	if want := `"url":"` + public + `/blobs/none"`; !contains(got, want) {
		t.Errorf("%s\nwant %s in it", got, want)
	}
}

// An empty manifest installs nothing and fails on every client, so a bundle
// without a list of files is offered as its zip (device-clients.md §3.2).
func TestEmptyManifestIsNeverSent(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.state.Files = nil
	if _, got, _ := ask(t, r.handler(t), "POST", "/updates", info(nil)); contains(got, "manifest") || !contains(got, `"url":`) {
		t.Errorf("offer without files: %s", got)
	}
}

// A form that was not prepared is encoded when it is asked for, never left out.
func TestOfferThatWasNotPrepared(t *testing.T) {
	t.Parallel()
	r := newRig()
	h := r.handler(t)
	_, want, _ := ask(t, h, "POST", "/updates", info(nil))
	app := r.compile(t)
	r.counted.deps.App = func(string) (*decide.App, bool, error) { return app, true, nil }
	if _, got, _ := ask(t, h, "POST", "/updates", info(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What devices are told, for review.
func TestOffersOnTheWire(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.state.App.ExposeMetadata, r.bundle().Link, r.bundle().Comment = true, "https://example.com/1.2.0", `fixes "ü" & <b>`
	h := r.handler(t)
	var out []byte
	for _, l := range []struct{ platform, version string }{
		{"android", "8.51.23"}, {"ios", "7.34.0"}, {"ios", "6.14.28"}, {"android", "6.14.27"}, {"android", "10.0.0"}, {"electron", "0.0.1"},
	} {
		_, body, _ := ask(t, h, "POST", "/updates", info(map[string]any{"platform": l.platform, "plugin_version": l.version}))
		out = append(out, l.platform+" "+l.version+"\n"+body+"\n\n"...)
	}
	golden.Check(t, "offers.txt", out)
}
