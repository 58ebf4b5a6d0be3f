package capgo

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
)

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	for path, allow := range map[string]string{
		"/updates": "GET, POST", "/plugin/updates": "GET, POST", "/updates/manifest_size": "POST", "/stats": "GET, POST",
		"/channel_self": "DELETE, GET, POST, PUT", "/ok": "GET, POST",
	} {
		status, _, header := ask(t, h, http.MethodPatch, path, "{}")
		if status != http.StatusMethodNotAllowed || header.Get("Allow") != allow {
			t.Errorf("PATCH %s: %d, Allow %q, want %q", path, status, header.Get("Allow"), allow)
		}
	}
}

// OkHttp and URLSession turn a redirected POST into a GET without body, so no
// way of writing the address may lead to a redirect.
func TestStraySlashesAreNotRedirected(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	for _, path := range []string{"/updates/", "/plugin/updates/", "/updates?tenant=x"} {
		if status, body, _ := ask(t, h, http.MethodPost, path, info(nil)); status != 200 || !contains(body, `"version":"1.2.0"`) {
			t.Errorf("POST %s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/plugin", "/plugin/", "/pluginupdates", "/", "/updates/x"} {
		if status, body, _ := ask(t, h, http.MethodPost, path, info(nil)); status != 404 || !contains(body, `"error":"not_found"`) {
			t.Errorf("POST %s: %d %s", path, status, body)
		}
	}
}

func TestAnswersSayTheirLengthAndType(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	for _, accept := range []string{"", "gzip"} {
		for name, changes := range map[string]map[string]any{"offer": nil, "nothing": {"version_name": "1.2.0"}, "fault": {"app_id": nil}, "unknown": {"app_id": "a.b"}} {
			req := httptest.NewRequest(http.MethodPost, "/updates", strings.NewReader(text(t, info(changes))))
			req.Header.Set("Accept-Encoding", accept)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if got := rec.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("%s: Content-Type %q", name, got)
			}
			if got := rec.Header()["Content-Length"]; len(got) != 1 || got[0] != itoa(rec.Body.Len()) {
				t.Errorf("%s: Content-Length %q for %d bytes", name, got, rec.Body.Len())
			}
		}
	}
}

func TestAcceptEncoding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header []string
		want   bool
	}{
		{nil, false}, {[]string{""}, false}, {[]string{"gzip"}, true}, {[]string{"x-gzip"}, true}, {[]string{"br", "gzip"}, true},
		{[]string{"*"}, true}, {[]string{"*;q=0"}, false}, {[]string{"gzip;q=0, *"}, false}, {[]string{"*, gzip;q=0"}, false},
		{[]string{"*;q=0, gzip"}, true}, {[]string{"gzip;q=0.001"}, true}, {[]string{"gzip ; Q = 1"}, true}, {[]string{"gzip;q=x"}, false},
		{[]string{"gzip;q=NaN"}, false}, {[]string{"gzip;q=-1"}, false}, {[]string{"gzip;level=9;q=0"}, false}, {[]string{"gzipped"}, false}, {[]string{",,;,gzip"}, true},
	} {
		if got := acceptsGzip(tt.header); got != tt.want {
			t.Errorf("%q accepts gzip: %t, want %t", tt.header, got, tt.want)
		}
	}
}

// A client that is cut off while it sends reads no answer and sends the same
// again, so what is too much is taken and thrown away.
func TestTooManyStatisticsAreDrained(t *testing.T) {
	t.Parallel()
	r := newRig()
	h := r.handler(t)
	one := text(t, event(nil))
	item := strings.Repeat(one+",", 3<<20/len(one))
	rest := strings.NewReader("[" + item + one + "]")
	req := httptest.NewRequest(http.MethodPost, "/stats", io.NopCloser(rest))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code != 200 || rest.Len() != 0 || len(r.events) != 500 {
		t.Errorf("%d, %d bytes not taken, %d events kept", rec.Code, rest.Len(), len(r.events))
	}
	if got := r.counted.Counts(); got.DroppedEvents < 1000 || got.RefusedEvents != 0 {
		t.Errorf("counted %+v", got)
	}
}

func TestOneEventAboveTheLimitIsRefusedAndNotFailed(t *testing.T) {
	t.Parallel()
	r := newRig()
	status, body, _ := ask(t, r.handler(t), http.MethodPost, "/stats", event(map[string]any{"x": strings.Repeat("x", 1<<20)}))
	if status != 200 || !contains(body, `"error":"event_too_large"`) || r.counted.Counts().RefusedEvents != 1 {
		t.Errorf("%d %s, counted %+v", status, body, r.counted.Counts())
	}
}

// A batch whose body broke off is worth another try, which 5xx asks for and
// 4xx forbids (device-clients.md §5.3).
func TestStatisticsThatBrokeOffAreAskedForAgain(t *testing.T) {
	t.Parallel()
	r := newRig()
	h := r.handler(t)
	req := httptest.NewRequest(http.MethodPost, "/stats", io.MultiReader(strings.NewReader("["+text(t, event(nil))+","), broken{}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || len(r.events) != 0 {
		t.Errorf("%d %s, kept %d", rec.Code, rec.Body, len(r.events))
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// 200 is said only once the events are durable; a failing store is 503, which
// the plugin tries again, with a Retry-After that OkHttp does not take for
// "at once".
func TestStatisticsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.eventsFail = capstan.Errorf(capstan.CodeStorageFull, "no space left")
	for _, body := range []any{event(nil), []any{event(nil)}} {
		status, answer, header := ask(t, r.handler(t), http.MethodPost, "/stats", body)
		if after := header.Get("Retry-After"); status != 503 || after == "" || after == "0" || contains(answer, "no space") {
			t.Errorf("%d %s, Retry-After %q", status, answer, after)
		}
	}
}

func TestEventsOfSeveralAppsAreEachJudged(t *testing.T) {
	t.Parallel()
	r := newRig()
	_, answer, _ := ask(t, r.handler(t), http.MethodPost, "/stats", []any{
		event(map[string]any{"app_id": "com.example.other"}), event(nil), event(map[string]any{"app_id": "com.example.other"}), event(nil),
	})
	if len(r.events) != 2 || strings.Count(answer, "app_not_found") != 2 || r.counted.Counts().RefusedEvents != 2 {
		t.Errorf("kept %d: %s", len(r.events), answer)
	}
}

func TestBodyOfSixteenKiBIsRead(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	exact := text(t, info(map[string]any{"x": ""}))
	exact = strings.Replace(exact, `"x":""`, `"x":"`+strings.Repeat("x", maxBody-len(exact))+`"`, 1)
	for body, want := range map[string]int{exact: 200, exact + " ": 400} {
		for _, length := range []int64{int64(len(body)), -1} {
			req := httptest.NewRequest(http.MethodPost, "/updates", strings.NewReader(body))
			req.ContentLength = length
			rec := httptest.NewRecorder()
			if h.ServeHTTP(rec, req); rec.Code != want {
				t.Errorf("%d bytes, Content-Length %d: %d %s, want %d", len(body), length, rec.Code, rec.Body, want)
			}
		}
	}
}

func TestBodyThatSaysItIsTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	h := newRig().handler(t)
	sent := strings.NewReader(strings.Repeat(" ", maxBody+1))
	req := httptest.NewRequest(http.MethodPost, "/updates", io.NopCloser(sent))
	req.ContentLength = maxBody + 1
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, req); rec.Code != 400 || sent.Len() != maxBody+1 {
		t.Errorf("%d %s, %d bytes left", rec.Code, rec.Body, sent.Len())
	}
}

// Java and JavaScript strings can hold half a character.
func TestHalfACharacterIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig()
	h := r.handler(t)
	for _, half := range []string{`\ud800`, "\xff"} {
		body := strings.Replace(text(t, info(nil)), `"custom_id":""`, `"custom_id":"a`+half+`"`, 1)
		if status, got, _ := ask(t, h, http.MethodPost, "/updates", body); status != 200 {
			t.Errorf("%q: %d %s", half, status, got)
		}
		if status, got, _ := ask(t, h, http.MethodPost, "/stats", strings.Replace(body, "{", `{"action":"set",`, 1)); status != 200 || contains(got, "error") {
			t.Errorf("%q: %d %s", half, status, got)
		}
	}
	for _, s := range r.seen {
		if s.Device.CustomID != "a\uFFFD" {
			t.Errorf("kept %q", s.Device.CustomID)
		}
	}
	if len(r.events) != 2 {
		t.Errorf("kept %d events, want 2", len(r.events))
	}
}

// The memory of a request is used again by the next: nothing of one device may
// show in another's.
func TestNothingLeaksIntoTheNextRequest(t *testing.T) {
	t.Parallel()
	r := newRig()
	h := r.handler(t)
	ask(t, h, http.MethodPost, "/updates", info(map[string]any{"custom_id": "ada", "defaultChannel": "beta", "key_id": "K", "is_emulator": true, "is_prod": false}))
	ask(t, h, http.MethodPost, "/updates", info(map[string]any{"custom_id": nil, "defaultChannel": nil, "is_emulator": nil, "is_prod": nil}))
	if d := r.seen[1].Device; d.CustomID != "" || d.Channel != "" || d.KeyID != "" || d.Emulator || !d.Prod {
		t.Errorf("the second device is recorded as %+v", d)
	}
	if d := r.seen[0].Device; d.CustomID != "ada" || d.Channel != "beta" {
		t.Errorf("the first device is recorded as %+v", d)
	}
}

func TestNativeVersions(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1": "1.0.0", "1.2": "1.2.0", "1.2.3": "1.2.3", "v1.2.3": "1.2.3", "v2": "2.0.0", "": "0.0.0", "builtin": "0.0.0", "unknown": "0.0.0",
		"1.2.3-beta.1": "1.2.3-beta.1", "1.2-debug": "1.2.0-debug", "1.05.3": "1.5.3", "2024.01.00": "2024.1.0", " 1.2.3 ": "1.2.3",
		"1.2.3.4": "", "1.2.3 (4)": "", "one": "", "1..2": "", "1.2.": "", ".1": "", "-1": "", "1.2.3-": "", "vv1": "", "1.2.1234567890123456789": "",
	} {
		got, ok := nativeVersion(in)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("native version %q is %q, want %q", in, got, want)
		}
	}
}
