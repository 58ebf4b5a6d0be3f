package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/capstan-ota/capstan"
)

// limits bound what a server may send, in bytes. The real clients have none,
// but one device of a fleet must not eat the machine.
type limits struct {
	answer int64
	zip    int64 // as it comes
	file   int64 // one file, as it comes and unpacked
	plain  int64 // all files of a zip, unpacked
}

func defaultLimits() limits {
	return limits{answer: 32 << 20, zip: 1 << 30, file: 512 << 20, plain: 2 << 30}
}

const maxHops = 20 // redirects

// reply is the answer to an API request. err is set when there was none.
type reply struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
	err    error
}

func (r reply) ok() bool { return r.err == nil && r.status >= 200 && r.status <= 299 }

// call makes an API request; body may be nil.
func (d *Device) call(ctx context.Context, method, address string, body any) reply {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return reply{err: err}
		}
	}
	r := d.callOnce(ctx, method, address, payload)
	// OkHttp repeats a request by itself, once, in two cases (§12 rule 16).
	if d.profile.Platform == capstan.Android && d.can.userAgent && r.err == nil &&
		(r.status == http.StatusRequestTimeout || r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "0") {
		r = d.callOnce(ctx, method, address, payload)
	}
	return r
}

func (d *Device) callOnce(ctx context.Context, method, address string, payload []byte) reply {
	start := d.now()
	fail := func(err error) reply { return reply{err: err, took: d.now().Sub(start)} }
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(payload))
	if err != nil {
		return fail(err)
	}
	req.Header.Set("User-Agent", d.userAgent())
	switch d.profile.Platform {
	case capstan.Android:
		if payload != nil {
			req.Header.Set("Content-Type", "application/json; charset=utf-8")
		}
	case capstan.IOS:
		if payload != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		req.Header.Set("Accept", "application/json")
	default:
		req.Header.Set("Content-Type", "application/json") // also on GET
	}
	resp, err := d.client(d.followAny).Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	data, err := d.readBody(resp, d.limits.answer)
	d.transfer(int64(len(data)), 1)
	if err != nil {
		return fail(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: data, took: d.now().Sub(start)}
}

// client returns an HTTP client without cookies over the given transport.
func (d *Device) client(redirect func(*http.Request, []*http.Request) error) *http.Client {
	return &http.Client{Transport: d.opt.Client.Transport, Timeout: d.opt.Client.Timeout, CheckRedirect: redirect}
}

func (d *Device) followAny(_ *http.Request, via []*http.Request) error {
	if len(via) >= maxHops {
		return fmt.Errorf("more than %d redirects", maxHops)
	}
	return nil
}

// sameScheme is HttpURLConnection's rule for Android's zips (§6.1).
func (d *Device) sameScheme(req *http.Request, via []*http.Request) error {
	if req.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return d.followAny(req, via)
}

// download starts a GET of a zip or a file.
func (d *Device) download(ctx context.Context, address, agent string, offset int64, redirect func(*http.Request, []*http.Request) error) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", agent) // "" sends none
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	return d.client(redirect).Do(req)
}

// electronDownload follows absolute redirects by hand, as the client does; a
// relative Location fails (§6.1).
func (d *Device) electronDownload(ctx context.Context, address string) (*http.Response, error) {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range maxHops {
		resp, err := d.download(ctx, address, "", 0, stay)
		if err != nil || resp.StatusCode < 300 || resp.StatusCode > 399 {
			return resp, err
		}
		resp.Body.Close()
		next, err := url.Parse(resp.Header.Get("Location"))
		if err != nil || !next.IsAbs() {
			return nil, fmt.Errorf("redirect to %q is not absolute", resp.Header.Get("Location"))
		}
		address = next.String()
	}
	return nil, fmt.Errorf("more than %d redirects", maxHops)
}

var errTooLarge = errors.New("body is larger than the simulator reads")

// readBody returns what arrived, also beside an error. URLSession undoes a
// brotli transfer coding by itself, OkHttp does not (§7.3).
func (d *Device) readBody(resp *http.Response, limit int64) ([]byte, error) {
	var r io.Reader = resp.Body
	if d.profile.Platform == capstan.IOS && resp.Header.Get("Content-Encoding") == "br" {
		r = brotli.NewReader(r)
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, errTooLarge
	}
	return data, err
}

// readAllBounded reads one file of a bundle while it is decompressed.
func readAllBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}

// transfer moves the clock by the time that n bytes need on the given share of
// the link: 1 alone, 8 when eight go at once.
func (d *Device) transfer(n int64, parallel int) time.Duration {
	if d.opt.BytesPerSecond <= 0 {
		return 0
	}
	t := time.Duration(float64(n) / float64(d.opt.BytesPerSecond) * float64(time.Second))
	// All parallel transfers together need as long as one after the other.
	d.pass(t)
	return t * time.Duration(parallel)
}

var errTotalTime = errors.New("the request took longer than iOS allows in total")

// withinLimit is iOS's cap on a whole request, zips included (§2.3).
func (d *Device) withinLimit(took time.Duration) error {
	if d.can.totalLimit && took > max(d.opt.ResponseTimeout+5*time.Second, 10*time.Second) {
		return errTotalTime
	}
	return nil
}

// sizeURL adds a path segment and removes the query (§3.8).
func sizeURL(updates string) (string, error) {
	u, err := url.Parse(updates)
	if err != nil {
		return "", fmt.Errorf("read update URL: %w", err)
	}
	u.RawQuery = ""
	return u.JoinPath("manifest_size").String(), nil
}

// bounded makes of a text from the wire something that fits on a line.
func bounded(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}
