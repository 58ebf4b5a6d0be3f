package capstan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Version{
		"1.2.3":             {1, 2, 3, ""},
		"0.0.0":             {},
		"10.20.30-beta.1":   {10, 20, 30, "beta.1"},
		"1.0.0-0":           {1, 0, 0, "0"},
		"1.0.0-a-b.c+build": {1, 0, 0, "a-b.c"},
		"1.0.0+001":         {1, 0, 0, ""},
	} {
		if got, ok := ParseVersion(in); !ok || got != want {
			t.Errorf("ParseVersion(%q) = %+v, %v; want %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-a..b",
		"1.2.3-ü", "1.2.x", " 1.2.3", "1.2.3 ", "1.2.-3", "9999999999999999999.0.0", "1.2.3-a+b+c",
	} {
		if v, ok := ParseVersion(in); ok {
			t.Errorf("ParseVersion(%q) = %+v, want refusal", in, v)
		}
	}
}

// The order is the example of semver.org §11, with build metadata added.
func TestVersionOrder(t *testing.T) {
	t.Parallel()
	order := []string{
		"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "2.0.0",
	}
	for i, a := range order {
		for j, b := range order {
			x, _ := ParseVersion(a)
			y, _ := ParseVersion(b + "+build")
			if got, want := x.Compare(y), min(1, max(-1, i-j)); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestVersionOrderIsTotal(t *testing.T) {
	t.Parallel()
	gen := rapid.Custom(func(t *rapid.T) Version {
		n := rapid.Uint64Range(0, 3)
		pre := rapid.SampledFrom([]string{"", "0", "1", "10", "a", "a.1", "a.b", "b-1"})
		return Version{n.Draw(t, "major"), n.Draw(t, "minor"), n.Draw(t, "patch"), pre.Draw(t, "pre")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("Compare is not antisymmetric on %+v, %+v", a, b)
		}
		if a.Compare(b) == 0 && a != b {
			t.Fatalf("%+v and %+v compare equal", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("Compare is not transitive on %+v, %+v, %+v", a, b, c)
		}
	})
}

func TestParseVersionDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { ParseVersion("1.22.333-beta.1+build.5") }); n != 0 {
		t.Errorf("ParseVersion allocates %v times", n)
	}
}

func TestDeviceIDReadsAnyCaseAndPrintsLower(t *testing.T) {
	t.Parallel()
	const want = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	for _, in := range []string{want, "3F2504E0-4F89-41D3-9A0C-0305E82C3301"} {
		if id, ok := ParseDeviceID(in); !ok || id.String() != want {
			t.Errorf("ParseDeviceID(%q) = %s, %v; want %s", in, id, ok, want)
		}
	}
	for _, in := range []string{"", "3f2504e04f8941d39a0c0305e82c3301", want + "0", "3f2504e0-4f89-41d3-9a0c-0305e82c330g", "3f2504e0-4f89-41d3-9a0c-0305e82c33-1", "{3f2504e0-4f89-41d3-9a0c-0305e82c330}"} {
		if id, ok := ParseDeviceID(in); ok {
			t.Errorf("ParseDeviceID(%q) = %s, want refusal", in, id)
		}
	}
}

func TestPlatformSet(t *testing.T) {
	t.Parallel()
	s := NewPlatformSet(Electron, IOS, "symbian")
	if got := s.List(); !slices.Equal(got, []Platform{IOS, Electron}) {
		t.Errorf("List = %v", got)
	}
	if s.Has(Android) || !s.Has(IOS) || s.Has("symbian") {
		t.Errorf("Has is wrong for %v", s.List())
	}
	if got := s.With(IOS, false).With(Android, true).List(); !slices.Equal(got, []Platform{Android, Electron}) {
		t.Errorf("With = %v", got)
	}
}

func TestValidation(t *testing.T) {
	t.Parallel()
	ch := func(edit func(*Channel)) error {
		c := NewChannel("com.example.app", "production")
		edit(&c)
		return c.Validate()
	}
	tests := []struct {
		name string
		err  error
		ok   bool
	}{
		{"app id", ValidateAppID("com.example.app"), true},
		{"app id with _ and -", ValidateAppID("com.my_co.the-app2"), true},
		{"app id of one word", ValidateAppID("app"), false},
		{"app id with empty part", ValidateAppID("com..app"), false},
		{"app id with hyphen first", ValidateAppID("a-b.app"), false},
		{"app id with a space", ValidateAppID("com.my app"), false},
		{"version", ValidateBundleVersion("1.0.0"), true},
		{"version 0.0.0", ValidateBundleVersion("0.0.0"), false},
		{"version builtin", ValidateBundleVersion("builtin"), false},
		{"version with quote", ValidateBundleVersion(`1.0.0-"`), false},
		{"channel", ch(func(*Channel) {}), true},
		{"channel named builtin", ch(func(c *Channel) { c.Name = "builtin" }), false},
		{"channel with a space", ch(func(c *Channel) { c.Name = "my channel" }), false},
		{"default of an unserved platform", ch(func(c *Channel) { c.Platforms, c.Default = NewPlatformSet(IOS), NewPlatformSet(Android) }), false},
		{"unknown policy", ch(func(c *Channel) { c.Policy = "weekly" }), false},
		{"bundle with bad minimum", Bundle{Version: "1.0.0", NativeMin: map[Platform]string{IOS: "1"}}.Validate(), false},
		{"bundle with javascript link", Bundle{Version: "1.0.0", Link: "javascript:alert(1)"}.Validate(), false},
	}
	for _, tt := range tests {
		if (tt.err == nil) != tt.ok {
			t.Errorf("%s: error %v, want ok %v", tt.name, tt.err, tt.ok)
		}
		if tt.err != nil && CodeOf(tt.err) != CodeInvalid {
			t.Errorf("%s: code %q, want invalid", tt.name, CodeOf(tt.err))
		}
	}
}

func TestEventsThatFailABundle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		action   string
		platform Platform
		want     bool
	}{
		{"update_fail", Android, true}, {"update_fail", IOS, true}, {"set_fail", Electron, true},
		{"set_fail", Android, false}, {"download_fail", IOS, false}, {"set", Electron, false},
	} {
		if got := (Event{Action: tt.action, Platform: tt.platform}).FailsBundle(); got != tt.want {
			t.Errorf("%s on %s fails the bundle: %v, want %v", tt.action, tt.platform, got, tt.want)
		}
	}
}
