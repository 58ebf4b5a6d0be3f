package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
)

func TestOtherServersAreToldFromOurs(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]capstan.Code{
		http.StatusOK: capstan.CodeInternal, http.StatusNotFound: capstan.CodeInternal,
		http.StatusBadGateway: capstan.CodeUnreachable, http.StatusServiceUnavailable: capstan.CodeUnreachable,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>hello</html>")
		}))
		c, err := client.New(s.URL, "", client.Options{HTTP: s.Client()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Whoami(t.Context()); capstan.CodeOf(err) != want {
			t.Errorf("%d: got %v, want code %s", status, err, want)
		}
		s.Close()
		if _, err = c.Whoami(t.Context()); capstan.CodeOf(err) != capstan.CodeUnreachable {
			t.Errorf("nobody listens: got %v", err)
		}
	}
}

// A token goes to the server that it is for and nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer other.Close()
	s := httptest.NewServer(http.RedirectHandler(other.URL+"/v1/whoami", http.StatusMovedPermanently))
	defer s.Close()
	for name, h := range map[string]*http.Client{"own": s.Client(), "default": nil} {
		c, err := client.New(s.URL, "secret", client.Options{HTTP: h})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Whoami(t.Context())
		if capstan.CodeOf(err) != capstan.CodeUnreachable || asked.Load() || !strings.Contains(err.Error(), other.URL) {
			t.Errorf("%s client: got %v; the other server was asked: %t", name, err, asked.Load())
		}
	}
}

func TestEmptyNamesAreNotSent(t *testing.T) {
	t.Parallel()
	var asked atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer s.Close()
	c, err := client.New(s.URL, "secret", client.Options{HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteChannel(t.Context(), "com.example.app", "", 5); capstan.CodeOf(err) != capstan.CodeInvalid || asked.Load() {
		t.Errorf("got %v; the server was asked: %t", err, asked.Load())
	}
}

func TestServerMustBeAnAddress(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "updates.example.com", "ftp://updates.example.com", "https://", "://"} {
		if _, err := client.New(bad, "", client.Options{}); capstan.CodeOf(err) != capstan.CodeInvalid {
			t.Errorf("server %q: got %v, want code invalid", bad, err)
		}
	}
	c, err := client.New("https://example.com/updates/", "", client.Options{})
	if err != nil || c.Server() != "https://example.com/updates" {
		t.Errorf("a server below a path: %v, %v", c, err)
	}
}

// What is put into a path stays one element of it, and the token goes with
// every call.
func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	var uri, token, agent string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri, token, agent = r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("User-Agent")
		_, _ = io.WriteString(w, "{}")
	}))
	defer s.Close()
	c, err := client.New(s.URL+"/below", "secret", client.Options{HTTP: s.Client(), UserAgent: "test/1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a/b": "a%2Fb", "..": "%2E%2E", ".": "%2E", "ü ?#%": "%C3%BC%20%3F%23%25", "1.0.0+5": "1.0.0+5", "../../whoami": "..%2F..%2Fwhoami",
	} {
		if _, err := c.Channel(t.Context(), "com.example.app", name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if uri != "/below/v1/apps/com.example.app/channels/"+want || token != "Bearer secret" || agent != "test/1" {
			t.Errorf("%q was asked for as %s with token %q by %q", name, uri, token, agent)
		}
	}
}
