package decide

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/golden"
)

const vectorFile = "../../test/vectors/decision/decision.json"

// vector is one decision in a form that any language can read: the rows of an
// app, what is known about the device, what it says, and what it must get.
// Absent fields are false, empty or 0. "row" is the line of the table in
// decisions.md §1.1, absent for rules of our own.
type vector struct {
	Name           string          `json:"name"`
	Row            int             `json:"row,omitzero"`
	ExposeMetadata bool            `json:"expose_metadata,omitzero"`
	Channels       []vectorChannel `json:"channels"`
	Bundles        []vectorBundle  `json:"bundles"`
	Releases       []vectorRelease `json:"releases"`
	Device         vectorDevice    `json:"device"`
	Query          vectorQuery     `json:"query"`
	Want           vectorWant      `json:"want"`
}

type vectorChannel struct {
	Name          string             `json:"name"`
	Default       []capstan.Platform `json:"default,omitempty"`
	FormerDefault []capstan.Platform `json:"former_default,omitempty"`
	Platforms     []capstan.Platform `json:"platforms,omitempty"`
	SelfAssign    bool               `json:"self_assign,omitzero"`
	Policy        capstan.Policy     `json:"policy"`
	UnderNative   bool               `json:"under_native,omitzero"`
	Prod          bool               `json:"prod,omitzero"`
	Dev           bool               `json:"dev,omitzero"`
	Device        bool               `json:"device,omitzero"`
	Emulator      bool               `json:"emulator,omitzero"`
}

type vectorBundle struct {
	Version   string                      `json:"version"`
	State     capstan.BundleState         `json:"state"`
	Zip       bool                        `json:"zip,omitzero"`
	Manifest  bool                        `json:"manifest,omitzero"`
	NativeMin map[capstan.Platform]string `json:"native_min,omitempty"`
	KeyID     string                      `json:"key_id,omitzero"`
	Link      string                      `json:"link,omitzero"`
	Comment   string                      `json:"comment,omitzero"`
}

type vectorRelease struct {
	Number  int64  `json:"number"`
	Channel string `json:"channel"`
	Version string `json:"version"` // "" for built-in
	ShareBP int    `json:"share_bp"`
	Salt    string `json:"salt"`
	Paused  bool   `json:"paused,omitzero"`
	Ended   bool   `json:"ended,omitzero"`
}

type vectorDevice struct {
	Pin      string          `json:"pin,omitzero"`
	Failures []vectorFailure `json:"failures,omitempty"`
}

type vectorFailure struct {
	Version string `json:"version"`
	Release int64  `json:"release"` // the last one whose failure is recorded
}

type vectorQuery struct {
	Device            capstan.DeviceID `json:"device"`
	Platform          capstan.Platform `json:"platform"`
	Native            string           `json:"native"`
	Running           string           `json:"running"`
	Channel           string           `json:"channel,omitzero"`
	KeyID             string           `json:"key_id,omitzero"`
	Prod              bool             `json:"prod,omitzero"`
	Emulator          bool             `json:"emulator,omitzero"`
	PluginUnsupported bool             `json:"plugin_unsupported,omitzero"`
	PluginNoBuiltin   bool             `json:"plugin_no_builtin,omitzero"`
	PluginChecksKeyID bool             `json:"plugin_checks_key_id,omitzero"`
	PluginNeedsSeal   bool             `json:"plugin_needs_seal,omitzero"`
	ReadsManifest     bool             `json:"reads_manifest,omitzero"`
	ReadsCRC32        bool             `json:"reads_crc32,omitzero"`
	ReadsMetadata     bool             `json:"reads_metadata,omitzero"`
}

// vectorWant is the decision. Gate is the last step of the trace.
type vectorWant struct {
	Outcome capstan.Outcome `json:"outcome"`
	Reason  capstan.Reason  `json:"reason"`
	Gate    string          `json:"gate"`
	Channel string          `json:"channel,omitzero"`
	Release int64           `json:"release,omitzero"`
	Version string          `json:"version,omitzero"` // of the bundle that is offered or refused
	Form    string          `json:"form,omitzero"`    // of an offer
}

func platformSet(list []capstan.Platform) capstan.PlatformSet { return capstan.NewPlatformSet(list...) }

// vectorOf writes a row of the table down. Outcome and reason are the table's,
// which were written by hand; the rest is what Explain says.
func vectorOf(t *testing.T, row tableRow) vector {
	r := newRig()
	row.edit(r)
	d, steps := Explain(r.compile(t), r.over, &r.q)
	v := vector{Name: row.name, Row: row.row, ExposeMetadata: r.state.App.ExposeMetadata, Want: wantOf(d, steps)}
	v.Want.Outcome, v.Want.Reason = row.want.outcome, row.want.reason
	for _, c := range r.state.Channels {
		v.Channels = append(v.Channels, vectorChannel{
			c.Name, c.Default.List(), c.FormerDefault.List(), c.Platforms.List(), c.SelfAssign, c.Policy,
			c.UnderNative, c.Prod, c.Dev, c.Device, c.Emulator,
		})
	}
	for _, b := range r.state.Bundles {
		v.Bundles = append(v.Bundles, vectorBundle{
			b.Version, b.State, b.Archive != "", b.DeltaOffered, b.NativeMin, b.KeyID, b.Link, b.Comment,
		})
	}
	for _, x := range r.state.Releases {
		v.Releases = append(v.Releases, vectorRelease{x.Number, x.Channel, x.Version, x.ShareBP, x.Salt, x.Paused, x.Ended()})
	}
	v.Device.Pin = r.over.Pin
	for _, f := range r.over.Failures {
		v.Device.Failures = append(v.Device.Failures, vectorFailure{f.Version, f.Release})
	}
	q, p := r.q, r.q.Plugin
	v.Query = vectorQuery{
		q.Device, q.Platform, q.Native, q.Running, q.Channel, q.KeyID, q.Prod, q.Emulator,
		p.Unsupported, p.NoBuiltin, p.ChecksKeyID, p.NeedsSeal, p.Form&FormDelta != 0, p.Form&FormCRC32 != 0, p.Form&FormMetadata != 0,
	}
	return v
}

func wantOf(d Decision, steps []Step) vectorWant {
	w := vectorWant{Outcome: d.Outcome, Reason: d.Reason, Gate: steps[len(steps)-1].Gate}
	if d.Channel != nil {
		w.Channel = d.Channel.Name
	}
	if d.Release != nil {
		w.Release, w.Version = d.Release.Number, d.Release.Version
	}
	if d.Outcome == capstan.Offer {
		w.Form = d.Form.String()
	}
	return w
}

// rows is the way back: from the text alone.
func (v vector) rows() capstan.AppState {
	s := capstan.AppState{App: capstan.App{ID: "com.example.app", ExposeMetadata: v.ExposeMetadata}}
	for i, c := range v.Channels {
		s.Channels = append(s.Channels, capstan.Channel{
			Name: c.Name, Seq: int64(i + 1), Default: platformSet(c.Default), FormerDefault: platformSet(c.FormerDefault),
			Platforms: platformSet(c.Platforms), SelfAssign: c.SelfAssign, Policy: c.Policy, UnderNative: c.UnderNative,
			Prod: c.Prod, Dev: c.Dev, Device: c.Device, Emulator: c.Emulator,
		})
	}
	for _, b := range v.Bundles {
		row := capstan.Bundle{
			ID: "id of " + b.Version, Version: b.Version, State: b.State, DeltaOffered: b.Manifest,
			NativeMin: b.NativeMin, KeyID: b.KeyID, Link: b.Link, Comment: b.Comment,
		}
		if b.Zip {
			row.Archive = capstan.DigestOf([]byte(b.Version))
		}
		s.Bundles = append(s.Bundles, row)
	}
	for _, r := range v.Releases {
		row := capstan.Release{Number: r.Number, Channel: r.Channel, Version: r.Version, ShareBP: r.ShareBP, Salt: r.Salt, Paused: r.Paused}
		if r.Version != "" {
			row.Bundle = "id of " + r.Version
		}
		if r.Ended {
			row.EndedAt, row.EndReason = at, capstan.EndRolledBack
		}
		s.Releases = append(s.Releases, row)
	}
	return s
}

func (v vector) asks() (Overlay, Query) {
	o := Overlay{Pin: v.Device.Pin}
	for _, f := range v.Device.Failures {
		o.Failures = append(o.Failures, capstan.Failure{Version: f.Version, Release: f.Release})
	}
	w := v.Query
	q := Query{
		At: at, Device: w.Device, Platform: w.Platform, Native: w.Native, Running: w.Running, Channel: w.Channel,
		KeyID: w.KeyID, Prod: w.Prod, Emulator: w.Emulator,
		Plugin: Plugin{
			Unsupported: w.PluginUnsupported, NoBuiltin: w.PluginNoBuiltin,
			ChecksKeyID: w.PluginChecksKeyID, NeedsSeal: w.PluginNeedsSeal,
		},
	}
	q.NativeVersion, _ = capstan.ParseVersion(w.Native)
	for form, reads := range map[Form]bool{FormDelta: w.ReadsManifest, FormCRC32: w.ReadsCRC32, FormMetadata: w.ReadsMetadata} {
		if reads {
			q.Plugin.Form |= form
		}
	}
	return o, q
}

// text writes the vectors with one row, query or answer a line, so that a
// changed decision is a changed line.
func text(t *testing.T, list []vector) []byte {
	var out bytes.Buffer
	line := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	out.WriteString("[")
	for i, v := range list {
		out.WriteString(strings.Repeat(",", min(i, 1)) + "\n  {\n    \"name\": " + line(v.Name))
		field := func(name, value string) { fmt.Fprintf(&out, ",\n    %q: %s", name, value) }
		if v.Row != 0 {
			field("row", line(v.Row))
		}
		if v.ExposeMetadata {
			field("expose_metadata", "true")
		}
		field("channels", lines(v.Channels, line))
		field("bundles", lines(v.Bundles, line))
		field("releases", lines(v.Releases, line))
		field("device", line(v.Device))
		field("query", line(v.Query))
		field("want", line(v.Want))
		out.WriteString("\n  }")
	}
	out.WriteString("\n]\n")
	return out.Bytes()
}

func lines[T any](list []T, line func(any) string) string {
	if len(list) == 0 {
		return "[]"
	}
	var parts []string
	for _, e := range list {
		parts = append(parts, "\n      "+line(e))
	}
	return "[" + strings.Join(parts, ",") + "\n    ]"
}

// The vectors are read back from the file and decided from its text alone.
func TestDecisionVectors(t *testing.T) {
	t.Parallel()
	var list []vector
	for _, row := range table {
		list = append(list, vectorOf(t, row))
	}
	want := text(t, list)
	if golden.Updating() {
		if err := os.WriteFile(vectorFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(file), "\n")); d != "" {
		t.Errorf("the vectors are not those of the table (-table +file); -update writes them:\n%s", d)
	}
	var read []vector
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		t.Fatal(err)
	}
	for _, v := range read {
		a, err := Compile(v.rows())
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		o, q := v.asks()
		if d := cmp.Diff(v.Want, wantOf(Explain(a, o, &q))); d != "" {
			t.Errorf("%s (-want +got):\n%s", v.Name, d)
		}
	}
}

func TestDecisionNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range table {
		if seen[row.name] {
			t.Errorf("two rows are called %q", row.name)
		}
		seen[row.name] = true
	}
}
