package capgo

import (
	"testing"

	"github.com/capstan-ota/capstan"
)

func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{
		`{"platform":"android","device_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","app_id":"com.example.app","version_build":"1.4","version_name":"builtin","plugin_version":"8.51.23"}`,
		`{"platform":"electron","device_id":"3F2504E0-4F89-41D3-9A0C-0305E82C3301","app_id":"a.b","version_build":"v01.2-x+y","version_name":"","plugin_version":"0.0.1","custom_id":null,"is_prod":null}`,
		`{"device_id":7,"is_prod":"true"}`, `null`, `[]`, `{}`, `{"a":[[[[[[]]]]]]}`,
		`{"version_build":"v1-+","app_id":"a.b","device_id":"x"}`,
		"{\"custom_id\":\"\xff\\u0000\\ud800\"}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, by := range []rules{checkRules, channelRules, queryRules, listRules} {
			var in fields
			found, bad := decode([]byte(raw), &in, &in, nil)
			var q question
			if bad == nil {
				bad = q.normalise(&in, by, found, in.DeviceID == "" && empty([]byte(raw)), at)
			}
			if bad != nil {
				holdFault(t, bad)
				continue
			}
			holdQuestion(t, &q, &in, by)
		}
	})
}

func holdFault(t *testing.T, bad *fault) {
	t.Helper()
	switch bad.code {
	case "invalid_json_parse_body", "invalid_json_body", "invalid_query_parameters", "missing_device_id", "missing_app_id", "semver_error":
	default:
		t.Fatalf("unknown code %q", bad.code)
	}
	if bad.status != 400 {
		t.Fatalf("%s with status %d", bad.code, bad.status)
	}
}

// holdQuestion: what passes is fit for the core, and stays the same when it is
// said again in its normal form.
func holdQuestion(t *testing.T, q *question, in *fields, by rules) {
	t.Helper()
	native, ok := capstan.ParseVersion(q.Native)
	switch {
	case !q.Platform.Known(), !ok, native != q.NativeVersion, q.Running == "builtin":
		t.Fatalf("passed as %+v", q)
	case by.check && q.Running == "":
		t.Fatalf("a check without a running bundle passed as %+v", q)
	case !by.anyone && q.Device == capstan.DeviceID{} && in.DeviceID != (capstan.DeviceID{}).String():
		t.Fatalf("a device without id passed: %+v", in)
	}
	if again, ok := nativeVersion(q.Native); !ok || again != q.Native {
		t.Fatalf("native version %q reads back as %q", q.Native, again)
	}
	d := q.sighting(in)
	for _, s := range []string{d.App, d.CustomID, d.NativeVersion, d.NativeBuild, d.OSVersion, d.PluginVersion, d.InstallSource, d.Channel, d.KeyID, d.Running} {
		if len(s) > 200 || clip(s, 1000) != s {
			t.Fatalf("kept %q of %+v", s, d)
		}
	}
	asked, err := AskedByDevice(d)
	asked.At = q.At
	if by.check && (err != nil || asked.Query != q.Query) {
		t.Fatalf("asked again: %v\n got %+v\nwant %+v", err, asked.Query, q.Query)
	}
}

func TestClipKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"é", 1, ""}, {"a\x00b", 5, "a\uFFFDb"}, {"a\x00b", 2, "a"}, {"", 0, ""},
	} {
		if got := clip(tt.in, tt.limit); got != tt.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}
