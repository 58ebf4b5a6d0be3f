package server

import (
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/manifest"
)

// Config is what a server is started with. Only Data must be set.
type Config struct {
	Data        string // data directory; made when missing
	Listen      string // host:port; 127.0.0.1:8080 when empty
	PublicURL   string // origin under which devices reach the server
	DatabaseURL string // postgres://…; SQLite in Data when empty

	// BootstrapToken is the text of a token to register at start. Without it
	// the first start makes one and writes it to the file admin-token in Data.
	BootstrapToken string

	Limits  manifest.Limits // of bundles; zero fields mean their defaults
	Version string          // of this build
	Log     *slog.Logger    // discards when nil
}

const defaultListen = "127.0.0.1:8080"

// loopback reports whether host names this machine only.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// publicURL returns the origin that devices are told. It is never guessed from
// a request's Host, which anybody can set: it is the given one, or, for a
// server that only this machine reaches, the address it listens on.
func publicURL(given string, listening net.Addr) (string, error) {
	if given == "" {
		host, _, err := net.SplitHostPort(listening.String())
		if err != nil || !loopback(host) {
			return "", capstan.Errorf(capstan.CodeInvalid, "the server listens on %s, so it must be told the address that devices use", listening).
				On("public-url").Hint("capstan serve --public-url https://updates.example.com", "or listen on this machine alone: --listen 127.0.0.1:8080")
		}
		return "http://" + listening.String(), nil
	}
	u, err := url.Parse(strings.TrimSuffix(given, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", capstan.Errorf(capstan.CodeInvalid, "public URL %q is not an http(s) origin", given).
			On("public-url").Hint("capstan serve --public-url https://updates.example.com")
	}
	return u.String(), nil
}

// cleartextWarning returns what to tell an operator whose devices would be
// served without TLS, "" when there is nothing to tell.
func cleartextWarning(public string) string {
	u, err := url.Parse(public)
	if err != nil || u.Scheme == "https" || loopback(u.Hostname()) {
		return ""
	}
	return "the public URL " + public + " is not https: Android and iOS refuse it in release builds, " +
		"and anybody on the way can replace what your users run. Put the server behind TLS."
}
