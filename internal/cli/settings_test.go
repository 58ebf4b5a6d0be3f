package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const capgoKey = "0f8fad5b-d9cb-469f-a165-70867728950e"

func TestServerIsFoundInTheDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	server := func(args ...string) string {
		t.Helper()
		// logout needs a server, no token and no network, and prints it.
		return decode[map[string]any](t, d.ok(append([]string{"logout", "--json"}, args...)...))["server"].(string)
	}
	d.fails(2, []string{"no server is known", "code no_server", "capstan login --server"}, "logout")
	d.write("capacitor.config.json", `{"appId":"com.example.app","plugins":{"CapacitorUpdater":{"updateUrl":"https://Config.example.com/deep/updates?x=1"}}}`)
	if got := server(); got != "https://config.example.com" {
		t.Errorf("from the config: %s", got)
	}
	d.login(`{"current":"https://login.example.com","servers":{}}`)
	if got := server(); got != "https://login.example.com" {
		t.Errorf("from the login file: %s", got)
	}
	d.Environ = append(d.Environ, "CAPSTAN_URL=https://env.example.com/")
	if got := server(); got != "https://env.example.com" {
		t.Errorf("from CAPSTAN_URL: %s", got)
	}
	if got := server("--server", "http://127.0.0.1:9"); got != "http://127.0.0.1:9" {
		t.Errorf("from --server: %s", got)
	}
	d.fails(2, []string{"is not an http(s) address"}, "logout", "--server", "updates.example.com")
}

func TestServersOfCapgoAreNeverUsed(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"plugin.capgo.app", "api.capgo.app", "capgo.app", "web.capgo.app.", "plugin.usecapgo.com", "x.capgo.co"} {
		d := newDeveloper(t, site{})
		d.write("capacitor.config.json", `{"appId":"com.example.app","plugins":{"CapacitorUpdater":{"updateUrl":"https://`+host+`/updates"}}}`)
		d.fails(2, []string{"points at Capgo", "code no_server"}, "whoami")
		d.fails(2, []string{"belongs to Capgo"}, "whoami", "--server", "https://"+host)
	}
	if isCapgo("capgo.app.example.com") || isCapgo("mycapgo.app") || isCapgo("localhost") {
		t.Error("a host that only looks like Capgo's is refused")
	}
}

func (d *developer) login(text string) {
	d.t.Helper()
	file := d.loginPath()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func TestTokenIsFoundInTheDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	tokens := map[string]string{}
	for _, name := range []string{"login", "env", "file", "flag"} {
		tokens[name] = decode[map[string]string](t, d.ok("token", "generate", "--json"))["token"]
	}
	var got string
	s := site{url: "http://127.0.0.1:1"}
	echo := s.proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		got = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"token":"x","name":"y","org":"default","scopes":["admin"],"server":"test","public_url":"http://x"}`))
		return true
	})
	uses := func(name string, args ...string) {
		t.Helper()
		d.ok(append([]string{"whoami", "--server", echo.url}, args...)...)
		if got != tokens[name] {
			t.Errorf("the token of %s was not used", name)
		}
	}
	d.fails(3, []string{"there is no token for " + echo.url, "code unauthorized"}, "whoami", "--server", echo.url)
	d.login(`{"current":"https://other.example.com","servers":{"` + echo.url + `":{"token":"` + tokens["login"] + `"},"https://other.example.com":{"token":"x"}}}`)
	uses("login")
	d.Environ = append(d.Environ, "CAPSTAN_TOKEN="+tokens["env"])
	uses("env")
	d.write("token", tokens["file"]+"\n")
	if err := os.Chmod(filepath.Join(d.Dir, "token"), 0o600); err != nil {
		t.Fatal(err)
	}
	uses("file", "--token-file", "token")
	uses("flag", "-a", tokens["flag"])
	if r := d.run("whoami", "--server", echo.url, "-a", tokens["flag"]); !strings.Contains(r.err, "warning: a token on the command line can be read by every user") {
		t.Errorf("no warning about --apikey:\n%s", r.err)
	}
	d.fails(2, []string{"not by both"}, "whoami", "--server", echo.url, "-a", tokens["flag"], "--token-file", "token")
}

func TestTokenOfOneServerIsNotSentToAnother(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	token := decode[map[string]string](t, d.ok("token", "generate", "--json"))["token"]
	asked := false
	s := site{url: "http://127.0.0.1:1"}.proxy(t, func(http.ResponseWriter, *http.Request) bool { asked = true; return true })
	d.login(`{"current":"https://mine.example.com","servers":{"https://mine.example.com":{"token":"` + token + `"}}}`)
	d.fails(3, []string{"there is no token for " + s.url}, "whoami", "--server", s.url)
	if asked {
		t.Error("the server was asked although there is no token for it")
	}
}

func TestFilesThatOthersCanReadAreRefused(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{url: "http://127.0.0.1:1", token: ""})
	d.write("token", "capstan_x")
	d.fails(3, []string{"can be read by everybody", "mode 0644", "try: chmod 600"}, "whoami", "--token-file", "token")
	d.fails(3, []string{"token file cannot be read"}, "whoami", "--token-file", "nothing")
	d.login(`{}`)
	if err := os.Chmod(d.loginPath(), 0o604); err != nil {
		t.Fatal(err)
	}
	d.fails(3, []string{"login.json can be read by everybody"}, "whoami")
}

func TestTokensOfCapgoAreNamedAndNeverSent(t *testing.T) {
	t.Parallel()
	asked := false
	s := site{url: "http://127.0.0.1:1"}.proxy(t, func(http.ResponseWriter, *http.Request) bool { asked = true; return true })
	fresh := func() *developer {
		d := newDeveloper(t, site{})
		d.Environ = append(d.Environ, "CAPSTAN_URL="+s.url)
		return d
	}
	d := fresh()
	r := d.fails(3, []string{"the token of --apikey has the form of a Capgo key", "code foreign_token"}, "whoami", "-a", capgoKey)
	if strings.Contains(r.err, capgoKey) {
		t.Error("the key is repeated")
	}
	d.Environ = append(d.Environ, "CAPSTAN_TOKEN="+capgoKey)
	d.fails(3, []string{"CAPSTAN_TOKEN", "code foreign_token"}, "whoami")
	d = fresh()
	d.Environ = append(d.Environ, "CAPGO_TOKEN="+capgoKey)
	d.fails(3, []string{"the one in CAPGO_TOKEN belongs to Capgo"}, "whoami")
	d = fresh()
	d.write(".capgo", capgoKey)
	d.fails(3, []string{filepath.Join(d.Dir, ".capgo") + " belongs to Capgo"}, "whoami")
	d = fresh()
	if err := os.WriteFile(filepath.Join(d.home(), ".capgo"), []byte(capgoKey), 0o600); err != nil {
		t.Fatal(err)
	}
	d.fails(3, []string{filepath.Join(d.home(), ".capgo") + " belongs to Capgo", "code foreign_token"}, "whoami")
	d.In = strings.NewReader(capgoKey + "\n")
	d.fails(3, []string{"the token of standard input"}, "login")
	if asked {
		t.Error("a server was asked with a token of Capgo")
	}
}

func TestLoginKeepsServerAndTokenForLater(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := newDeveloper(t, site{})
	d.In = strings.NewReader(s.token + "\n")
	out := decode[map[string]any](t, d.ok("login", "--server", s.url+"/", "--json"))
	if out["address"] != s.url {
		t.Errorf("logged in at %v", out["address"])
	}
	info, err := os.Stat(d.loginPath())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("login file: %v, %v", info, err)
	}
	d.ok("app", "add")
	if !strings.Contains(d.ok("app", "list"), testApp) {
		t.Error("the app is not listed")
	}
	if out := d.ok("logout"); !strings.Contains(out, "was removed") {
		t.Errorf("logout says %s", out)
	}
	d.fails(2, []string{"no server is known"}, "whoami")
	// A login that fails leaves the file as it was.
	d.In = strings.NewReader(decode[map[string]string](t, d.ok("token", "generate", "--json"))["token"] + "\n")
	d.fails(3, []string{"does not know the token"}, "login", "--server", s.url)
	d.fails(2, []string{"no server is known"}, "whoami")
}

func TestTerminalIsAskedForServerAndToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := newDeveloper(t, site{})
	d.InTTY, d.ErrTTY = true, true
	d.In = strings.NewReader(s.url + "\n" + s.token + "\n")
	r := d.run("login")
	if r.code != 0 || !strings.Contains(r.err, "Server: ") || strings.Contains(r.out+r.err, s.token) {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
	}
}

func TestUnreachableServerHasItsOwnExitCode(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	token := decode[map[string]string](t, d.ok("token", "generate", "--json"))["token"]
	d.through(site{"http://127.0.0.1:1", token})
	d.fails(7, []string{"127.0.0.1:1 does not answer", "code unreachable", "curl http://127.0.0.1:1/healthz"}, "whoami")
}

func TestCleartextServerIsWarnedAbout(t *testing.T) {
	t.Parallel()
	d := newDeveloper(t, site{})
	s := newSession(d.World)
	var b strings.Builder
	s.screen.Err = &b
	for _, quiet := range []string{"http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://updates.example.com"} {
		s.warnCleartext(quiet)
	}
	if b.Len() > 0 {
		t.Errorf("warned of a safe server: %s", b.String())
	}
	s.warnCleartext("http://updates.example.com")
	if !strings.Contains(b.String(), "everybody on the way can read the token") {
		t.Errorf("no warning: %q", b.String())
	}
}
