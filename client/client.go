// Package client is the Go client of Capstan's public API, and the one place
// where the shapes of /v1 are defined: the server encodes them, the command
// line and the console decode them.
//
// A [Client] is safe for concurrent use. Every error that the server sends
// comes back as a [capstan.Error] with its code, hints and request id; a
// server that cannot be reached gives code unreachable.
package client

import (
	"bytes"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

// Client talks to one server.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	agent string
}

// Options are what a Client may be given besides server and token.
type Options struct {
	HTTP      *http.Client // http.DefaultClient when nil
	UserAgent string       // "capstan" when empty
}

// New returns a client of the server at the given origin, such as
// https://updates.example.com. Every call needs a token.
func New(server, token string, o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(server, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, capstan.Errorf(capstan.CodeInvalid, "server %q is not an http(s) address", server).
			On("server").Hint("capstan login --server https://updates.example.com")
	}
	c := &Client{base: u, token: token, http: noRedirects(o.HTTP), agent: o.UserAgent}
	if c.agent == "" {
		c.agent = "capstan"
	}
	return c, nil
}

// noRedirects returns a copy of h, or of http.DefaultClient, that stays with
// the server it was told: the token is not for another, and a redirected POST
// would become a GET.
func noRedirects(h *http.Client) *http.Client {
	stays := http.Client{}
	if h != nil {
		stays = *h
	}
	stays.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &stays
}

// Server returns the origin that the client talks to.
func (c *Client) Server() string { return c.base.String() }

// Problem is an error answer of /v1: RFC 9457 with Capstan's code, field,
// hints and current change number.
type Problem struct {
	Type    string       `json:"type" doc:"page that explains the code"`
	Title   string       `json:"title"`
	Status  int          `json:"status"`
	Detail  string       `json:"detail"`
	Code    capstan.Code `json:"code"`
	Field   string       `json:"field,omitempty"`
	Hints   []string     `json:"hints,omitempty"`
	Number  int64        `json:"number,omitzero" doc:"current change number, with code stale"`
	Details []string     `json:"details,omitempty" doc:"for example the paths that differ"`
	Request string       `json:"request,omitempty" doc:"request id, as in the server's log"`
}

// request is one call. in, when not nil, is sent as JSON; body, when not nil,
// is sent as it is.
type request struct {
	method  string
	path    []string // each element is escaped
	query   url.Values
	ifMatch int64 // 0: no precondition
	in      any
	body    io.Reader
	size    int64 // of body
}

// escape makes one element of a path. "." and ".." would be taken for steps.
func escape(element string) string {
	if element == "." || element == ".." {
		return strings.ReplaceAll(element, ".", "%2E")
	}
	return url.PathEscape(element)
}

// askFirst is the size of a body from which the server is asked whether it
// wants it: below, sending is cheaper than the round trip.
const askFirst = 256 << 10

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	u := *c.base
	escaped := make([]string, len(r.path))
	for i, p := range r.path {
		if p == "" {
			return nil, capstan.Errorf(capstan.CodeInvalid, "a name in /v1/%s is empty", strings.Join(r.path, "/"))
		}
		escaped[i] = escape(p)
	}
	u.RawPath = c.base.EscapedPath() + "/v1/" + strings.Join(escaped, "/")
	u.Path = c.base.Path + "/v1/" + strings.Join(r.path, "/")
	u.RawQuery = r.query.Encode()

	body := r.body
	if body != nil && r.size == 0 {
		body = http.NoBody // else the length of an empty body is taken for unknown
	}
	if r.in != nil {
		b, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	switch {
	case r.in != nil:
		req.Header.Set("Content-Type", "application/json")
	case r.body != nil:
		req.Header.Set("Content-Type", "application/octet-stream")
		req.ContentLength = r.size
		if r.size >= askFirst {
			req.Header.Set("Expect", "100-continue")
		}
	}
	if r.ifMatch != 0 {
		req.Header.Set("If-Match", `"`+strconv.FormatInt(r.ifMatch, 10)+`"`)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e := capstan.Errorf(capstan.CodeUnreachable, "%s does not answer: %w", c.base.Host, cause(err))
		return nil, e.Hint("check that the server runs and that the address is right: curl " + c.base.String() + "/healthz")
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, problem(resp, c.base.Host)
	}
	return resp, nil
}

// cause strips the method and address that net/http repeats.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// problem turns an error answer into a capstan.Error. An answer that is not
// ours (a proxy's page, another server) keeps its status line.
func problem(resp *http.Response, host string) error {
	if to, err := resp.Location(); err == nil && resp.StatusCode < 400 {
		return capstan.Errorf(capstan.CodeUnreachable, "%s sends callers on to %s://%s, which the token was not meant for", host, to.Scheme, to.Host).
			Hint("if that is your server: capstan login --server " + to.Scheme + "://" + to.Host)
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var p Problem
	if err := json.Unmarshal(b, &p); err != nil || p.Code == "" {
		code := capstan.CodeInternal
		if resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusGatewayTimeout {
			code = capstan.CodeUnreachable
		}
		return capstan.Errorf(code, "%s answered %s, which is not an answer of Capstan", host, resp.Status).
			Hint("check that this address is a Capstan server: curl " + resp.Request.URL.Scheme + "://" + host + "/healthz")
	}
	return &capstan.Error{
		Code: p.Code, Message: p.Detail, Field: p.Field, Hints: p.Hints,
		Number: p.Number, Details: p.Details, Request: p.Request,
	}
}

// maxAnswer is how much of an answer is read: several times the files of the
// largest bundle.
const maxAnswer = 256 << 20

// call sends r and decodes the answer into out, unless out is nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return capstan.Errorf(capstan.CodeUnreachable, "the answer of %s broke off: %w", c.base.Host, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return capstan.Errorf(capstan.CodeInternal, "%s sent an answer that cannot be read: %w", c.base.Host, err)
	}
	return nil
}

// Page is where a listing goes on: pass Next as After to get what follows.
type Page struct {
	After string // "" from the start
	Limit int    // 0: the server's default, 50; at most 500
}

func (p Page) values() url.Values {
	v := url.Values{}
	if p.After != "" {
		v.Set("after", p.After)
	}
	if p.Limit != 0 {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	return v
}

// Whoami describes the caller's token.
type Whoami struct {
	Token     string    `json:"token" doc:"public id of the token"`
	Name      string    `json:"name"`
	Org       string    `json:"org"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Server    string    `json:"server" doc:"version of the server"`
	PublicURL string    `json:"public_url" doc:"address that devices use"`
}

// Whoami says whose token this is.
func (c *Client) Whoami(ctx context.Context) (out Whoami, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"whoami"}}, &out)
	return out, err
}
