package capgo

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan/internal/golden"
)

const page = "../../../docs/protocol.md"

// The examples of the protocol page are what the handler answers.
func TestProtocolPageShowsWhatIsSent(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), "to the end of examples -->\n")
	_, tail, more := strings.Cut(rest, "<!-- end of examples -->")
	if !ok || !more {
		t.Fatalf("%s has no place for examples", page)
	}
	want := head + "to the end of examples -->\n" + examples(t) + "<!-- end of examples -->" + tail
	switch {
	case want == string(raw):
	case golden.Updating() && os.Getenv("CI") != "true":
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what is sent: go test ./internal/wire/capgo -update", page)
	}
}

func examples(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	// Digests are shortened, so that a line can be read.
	short := func(s string) string {
		for _, file := range newRig().state.Files["id-1.2.0"] {
			s = strings.ReplaceAll(s, string(file.Digest), string(file.Digest[:8])+"…")
			s = strings.ReplaceAll(s, string(file.Blob), string(file.Blob[:8])+"…")
		}
		archive := string(newRig().bundle().Archive)
		return strings.ReplaceAll(s, archive, archive[:8]+"…")
	}
	for _, e := range []struct {
		title, method, path string
		body                any
	}{
		{"A check that is offered an update, file by file", "POST", "/updates", info(nil)},
		{"The same of a plugin that reads zips only", "POST", "/updates", info(map[string]any{"plugin_version": "6.14.28"})},
		{"Nothing new, on the built-in bundle as older plugins call it", "POST", "/updates", info(map[string]any{"version_name": "builtin", "version_build": "1.2.0"})},
		{"Refused by a rule of the channel", "POST", "/updates", info(map[string]any{"version_build": "0.9.0"})},
		{"An app that is not here", "POST", "/updates", info(map[string]any{"app_id": "com.example.other"})},
		{"A native version that is none", "POST", "/updates", info(map[string]any{"version_build": "1.2.3.4"})},
		{"Two events, of which one cannot be kept", "POST", "/stats", []any{event(nil), event(map[string]any{"device_id": nil})}},
		{"Choosing a channel", "POST", "/channel_self", info(map[string]any{"channel": "beta"})},
		{"Choosing one that may not be chosen", "POST", "/channel_self", info(map[string]any{"channel": "staff"})},
		{"Which channel am I on?", "PUT", "/channel_self", info(nil)},
		{"Which channels are there?", "GET", query(nil), nil},
	} {
		status, answer, _ := ask(t, newRig().handler(t), e.method, e.path, e.body)
		fmt.Fprintf(&out, "\n%s:\n\n```\n%s %s\n", e.title, e.method, e.path)
		if e.body != nil {
			out.WriteString(text(t, e.body) + "\n")
		}
		fmt.Fprintf(&out, "\n%d\n%s\n```\n", status, short(answer))
	}
	return out.String() + "\n"
}
