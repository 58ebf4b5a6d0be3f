package cli

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
)

// connect finds server and token, and returns a client.
func (s *session) connect(ctx context.Context) (*client.Client, error) {
	server, err := s.server(ctx)
	if err != nil {
		return nil, err
	}
	token, err := s.token(server)
	if err != nil {
		return nil, err
	}
	s.warnCleartext(server)
	return s.newClient(server, token)
}

func (s *session) newClient(server, token string) (*client.Client, error) {
	return client.New(server, token, client.Options{HTTP: s.HTTP, UserAgent: userAgent()})
}

// server finds the server's address, in this order: --server, CAPSTAN_URL, the
// login file, the origin of updateUrl in the app's config. Capgo's own servers
// are never used.
func (s *session) server(ctx context.Context) (string, error) {
	for _, given := range [][2]string{{s.serverFlag, "--server"}, {s.env("CAPSTAN_URL"), "CAPSTAN_URL"}} {
		if given[0] != "" {
			return serverAddress(given[0], given[1])
		}
	}
	l, err := s.readLogin()
	if err != nil {
		return "", err
	}
	if l.Current != "" {
		return serverAddress(l.Current, "the login file")
	}
	return s.serverOfConfig(ctx)
}

// serverAddress normalises an address: two spellings of one server must find
// the same login.
func serverAddress(given, from string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(given))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return "", capstan.Errorf(capstan.CodeInvalid, "the server of %s, %q, is not an http(s) address", from, given).On("server").
			Hint("capstan login --server https://updates.example.com")
	}
	if isCapgo(u.Hostname()) {
		return "", capstan.Errorf(capstan.CodeInvalid, "the server of %s, %s, belongs to Capgo; this command talks to Capstan servers only", from, u.Host).On("server").
			Hint("capstan login --server https://updates.example.com")
	}
	u.Host = strings.ToLower(u.Host)
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// serverOfConfig is the origin of updateUrl.
func (s *session) serverOfConfig(ctx context.Context) (string, error) {
	none := capstan.Errorf(capstan.CodeNoServer, "no server is known: no --server, no CAPSTAN_URL, no login, and no updateUrl in a Capacitor config").
		On("server").Hint("capstan login --server https://updates.example.com")
	c, err := s.readConfig(ctx)
	if capstan.CodeOf(err) == capstan.CodeConfig && c == nil {
		return "", none
	}
	if err != nil {
		return "", err
	}
	u, err := url.Parse(c.Updater.UpdateURL)
	if err != nil || u.Host == "" {
		return "", none
	}
	if isCapgo(u.Hostname()) {
		none.Message = "no server is known: no --server, no CAPSTAN_URL, no login, and updateUrl of " + c.base() + " points at Capgo"
		return "", none
	}
	return serverAddress(u.Scheme+"://"+u.Host, "updateUrl in "+c.base())
}

// isCapgo knows the hosts of Capgo: capgo.app, capgo.co and so on, and
// everything below them.
func isCapgo(host string) bool {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	if len(labels) < 2 {
		return false
	}
	switch labels[len(labels)-2] {
	case "capgo", "usecapgo":
		return true
	}
	return false
}

// warnCleartext tells that a token is about to be sent where others can read it.
func (s *session) warnCleartext(server string) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" {
		return
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return
	}
	s.screen.Warn("%s is not https: everybody on the way can read the token", server)
}
