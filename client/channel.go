package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/capstan-ota/capstan"
)

// Channel is a named lane with rules.
type Channel struct {
	Name          string             `json:"name"`
	ID            int64              `json:"id" doc:"small number, unique in the app; the id that plugins are told"`
	Default       []capstan.Platform `json:"default" doc:"platforms whose devices come here when they name no channel"`
	FormerDefault []capstan.Platform `json:"former_default" doc:"platforms whose default this once was: devices naming it get today's default"`
	Rules
	CreatedAt time.Time `json:"created_at"`
	Number    int64     `json:"number" doc:"number of the last change of this channel or its releases: its ETag"`
	Live      []Release `json:"live" doc:"releases that devices can get now, newest first; more than one while a rollout or native ranges keep older ones live"`
}

// Rules say which devices a channel serves with what.
type Rules struct {
	Platforms   []capstan.Platform `json:"platforms" doc:"platforms that are served at all"`
	SelfAssign  bool               `json:"self_assign" doc:"devices may choose this channel"`
	Policy      capstan.Policy     `json:"policy" enum:"major,minor,patch,metadata,none" doc:"which versions may go to which native versions"`
	UnderNative bool               `json:"under_native" doc:"may serve a bundle below the native version"`
	Prod        bool               `json:"prod" doc:"serves production builds"`
	Dev         bool               `json:"dev" doc:"serves development builds"`
	Device      bool               `json:"device" doc:"serves physical devices"`
	Emulator    bool               `json:"emulator" doc:"serves emulators"`
}

// ChannelEdit changes what is not nil; the rest stays, or for a new channel
// takes the default. Empty lists are sent: they take every platform away.
type ChannelEdit struct {
	// omitzero and not omitempty: an empty list means none, and must be sent.
	Default     *[]capstan.Platform `json:"default,omitzero"`
	Platforms   *[]capstan.Platform `json:"platforms,omitzero"`
	SelfAssign  *bool               `json:"self_assign,omitzero"`
	Policy      *capstan.Policy     `json:"policy,omitzero" enum:"major,minor,patch,metadata,none"`
	UnderNative *bool               `json:"under_native,omitzero"`
	Prod        *bool               `json:"prod,omitzero"`
	Dev         *bool               `json:"dev,omitzero"`
	Device      *bool               `json:"device,omitzero"`
	Emulator    *bool               `json:"emulator,omitzero"`
}

// NewChannel is what making a channel needs.
type NewChannel struct {
	Name string `json:"name" maxLength:"64"`
	ChannelEdit
}

// ChannelChanged is the answer to a change of a channel. Moved says, for each
// platform whose default moved, how many devices carry the old name.
type ChannelChanged struct {
	Channel
	Moved []DefaultMoved `json:"moved,omitempty"`
}

// DefaultMoved tells that a platform has a new default channel.
type DefaultMoved struct {
	Platform capstan.Platform `json:"platform"`
	From     string           `json:"from" doc:"channel that was the default"`
	Devices  int64            `json:"devices" doc:"devices that send the old name; they get the new default"`
}

// Channels lists the channels of an app, by name.
func (c *Client) Channels(ctx context.Context, app string) ([]Channel, error) {
	var out struct {
		Channels []Channel `json:"channels"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "channels"}}, &out)
	return out.Channels, err
}

// Channel returns one channel with its live releases.
func (c *Client) Channel(ctx context.Context, app, name string) (out Channel, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "channels", name}}, &out)
	return out, err
}

// CreateChannel makes a channel; code channel_exists when there is one.
func (c *Client) CreateChannel(ctx context.Context, app string, in NewChannel) (out ChannelChanged, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: []string{"apps", app, "channels"}, in: in}, &out)
	return out, err
}

// EditChannel changes the rules of a channel whose number the caller last read;
// code stale when somebody else changed it since.
func (c *Client) EditChannel(ctx context.Context, app, name string, number int64, in ChannelEdit) (out ChannelChanged, err error) {
	err = c.call(ctx, request{method: http.MethodPatch, path: []string{"apps", app, "channels", name}, ifMatch: number, in: in}, &out)
	return out, err
}

// DeleteChannel deletes a channel; code in_use while it is a default.
func (c *Client) DeleteChannel(ctx context.Context, app, name string, number int64) error {
	return c.call(ctx, request{method: http.MethodDelete, path: []string{"apps", app, "channels", name}, ifMatch: number}, nil)
}

// Release is a bundle put on a channel at a moment.
type Release struct {
	Number    int64             `json:"number" doc:"1, 2, 3 … within the app"`
	Channel   string            `json:"channel"`
	Version   string            `json:"version,omitempty" doc:"of the bundle; empty sends devices back to their store build"`
	Builtin   bool              `json:"builtin,omitempty"`
	Live      bool              `json:"live" doc:"some device can get it now"`
	ShareBP   int               `json:"share_bp" minimum:"0" maximum:"10000" doc:"share of devices in basis points"`
	Paused    bool              `json:"paused,omitempty"`
	At        time.Time         `json:"at"`
	By        string            `json:"by"`
	EndedAt   time.Time         `json:"ended_at,omitzero"`
	EndReason capstan.EndReason `json:"end_reason,omitempty"`
}

// NewRelease puts a bundle on a channel.
type NewRelease struct {
	Version string `json:"version,omitempty" doc:"bundle to release; empty with builtin"`
	Builtin bool   `json:"builtin,omitempty" doc:"send devices back to the web content of their store build"`
}

// Rollback says where to go back to. The zero value means the previous
// finished release.
type Rollback struct {
	ToRelease int64 `json:"to_release,omitempty" doc:"number of an earlier release of the channel"`
	ToBuiltin bool  `json:"to_builtin,omitempty"`
}

// Released is the answer to a release or rollback.
type Released struct {
	Release
	ChannelNumber int64              `json:"channel_number" doc:"the channel's new number"`
	Platforms     []capstan.Platform `json:"platforms" doc:"platforms that the channel serves"`
	Default       []capstan.Platform `json:"default" doc:"platforms whose default the channel is"`
	Previous      string             `json:"previous,omitempty" doc:"version that the channel served before"`
	Ended         []int64            `json:"ended,omitempty" doc:"releases that were taken back"`
	DeltaFiles    int                `json:"delta_files,omitempty" doc:"files that a device on the previous version downloads"`
	DeltaBytes    int64              `json:"delta_bytes,omitempty" doc:"their stored bytes"`
	Unchanged     bool               `json:"unchanged,omitempty" doc:"the channel served this bundle already; nothing was written"`
}

// Releases lists the releases of a channel, newest first; next is "" at the end.
func (c *Client) Releases(ctx context.Context, app, channel string, p Page) (list []Release, next string, err error) {
	var out struct {
		Releases []Release `json:"releases"`
		Next     string    `json:"next"`
	}
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "channels", channel, "releases"}, query: p.values()}, &out)
	return out.Releases, out.Next, err
}

// Release puts a bundle on a channel by compare-and-set on the channel's
// number; code stale when somebody else moved it since.
func (c *Client) Release(ctx context.Context, app, channel string, number int64, in NewRelease) (out Released, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: []string{"apps", app, "channels", channel, "releases"}, ifMatch: number, in: in}, &out)
	return out, err
}

// Rollback takes the newest releases of a channel back. Number 0 means: from
// whatever the channel serves now, for an emergency.
func (c *Client) Rollback(ctx context.Context, app, channel string, number int64, in Rollback) (out Released, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: []string{"apps", app, "channels", channel, "rollback"}, ifMatch: number, in: in}, &out)
	return out, err
}

// Change is one numbered mutation.
type Change struct {
	Number int64        `json:"number"`
	App    string       `json:"app,omitempty"`
	At     time.Time    `json:"at"`
	Actor  string       `json:"actor"`
	Noun   capstan.Noun `json:"noun"`
	ID     string       `json:"id"`
	Before string       `json:"before,omitempty" doc:"JSON of the row before"`
	After  string       `json:"after,omitempty" doc:"JSON of the row after"`
}

// Changes lists the changes of an app after the given number, oldest first.
func (c *Client) Changes(ctx context.Context, app string, after int64, limit int) ([]Change, error) {
	var out struct {
		Changes []Change `json:"changes"`
	}
	q := Page{After: strconv.FormatInt(after, 10), Limit: limit}.values()
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "changes"}, query: q}, &out)
	return out.Changes, err
}
