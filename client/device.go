package client

import (
	"context"
	"net/http"
	"time"

	"github.com/capstan-ota/capstan"
)

// Device is one installation, as it last described itself.
type Device struct {
	ID             string           `json:"id"`
	Platform       capstan.Platform `json:"platform"`
	CustomID       string           `json:"custom_id,omitempty"`
	NativeVersion  string           `json:"native_version"`
	NativeBuild    string           `json:"native_build,omitempty"`
	OSVersion      string           `json:"os_version,omitempty"`
	PluginVersion  string           `json:"plugin_version"`
	InstallSource  string           `json:"install_source,omitempty"`
	Channel        string           `json:"channel,omitempty" doc:"channel that the device names"`
	Pin            string           `json:"pin,omitempty" doc:"channel that it is tied to on the server"`
	KeyID          string           `json:"key_id,omitempty"`
	Prod           bool             `json:"prod"`
	Emulator       bool             `json:"emulator"`
	Running        string           `json:"running" doc:"version it runs; the native version on the built-in bundle"`
	Offered        string           `json:"offered,omitempty" doc:"version of the last offer"`
	OfferedRelease int64            `json:"offered_release,omitempty"`
	OfferedAt      time.Time        `json:"offered_at,omitzero"`
	Reason         capstan.Reason   `json:"reason,omitempty" doc:"of the last decision"`
	Failed         []Failure        `json:"failed,omitempty" doc:"versions that it reported as failed"`
	FirstSeen      time.Time        `json:"first_seen"`
	LastSeen       time.Time        `json:"last_seen"`
}

// Failure is a version that a device reported as failed.
type Failure struct {
	Version string    `json:"version"`
	Release int64     `json:"release" doc:"newest release that it is not offered again"`
	At      time.Time `json:"at"`
}

// Event is what a device reported.
type Event struct {
	Action     string    `json:"action"`
	Version    string    `json:"version,omitempty"`
	File       string    `json:"file,omitempty"`
	OldVersion string    `json:"old_version,omitempty"`
	At         time.Time `json:"at,omitzero" doc:"device clock; absent when the device sent none"`
	ReceivedAt time.Time `json:"received_at"`
	Metadata   string    `json:"metadata,omitempty" doc:"JSON object as the device sent it"`
}

// DeviceDetail is a device with its newest events.
type DeviceDetail struct {
	Device
	Events []Event `json:"events"`
}

// Devices lists the devices of an app, the last seen first; next is "" at the end.
func (c *Client) Devices(ctx context.Context, app string, p Page) (list []Device, next string, err error) {
	var out struct {
		Devices []Device `json:"devices"`
		Next    string   `json:"next"`
	}
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "devices"}, query: p.values()}, &out)
	return out.Devices, out.Next, err
}

// Device finds a device by its id or custom id.
func (c *Client) Device(ctx context.Context, app, id string) (out DeviceDetail, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", app, "devices", id}}, &out)
	return out, err
}

// WhyQuery asks for a decision. Give Device, or Query for a device never seen.
type WhyQuery struct {
	Device string `json:"device,omitempty" doc:"device id or custom id"`
	// Query is the body that a plugin would send to updateUrl.
	Query map[string]any `json:"query,omitempty" doc:"body as a plugin sends it to updateUrl"`
}

// Step is one gate of a decision.
type Step struct {
	Gate   string `json:"gate"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail" doc:"the values that were compared"`
}

// Why is a decision with the gates that led to it.
type Why struct {
	Device  string          `json:"device,omitempty"`
	Outcome capstan.Outcome `json:"outcome" enum:"offer,builtin,up_to_date,blocked,failed"`
	Reason  capstan.Reason  `json:"reason"`
	Means   string          `json:"means" doc:"the reason in a sentence"`
	Fix     string          `json:"fix,omitempty" doc:"what an operator can do"`
	Channel string          `json:"channel,omitempty"`
	Release int64           `json:"release,omitempty"`
	Version string          `json:"version,omitempty" doc:"of the bundle that was considered"`
	Form    string          `json:"form,omitempty" doc:"form of the answer, such as delta+sha256"`
	Steps   []Step          `json:"steps"`
	Answer  string          `json:"answer" doc:"the body that the device is sent"`
}

// Why explains what a device gets now.
func (c *Client) Why(ctx context.Context, app string, in WhyQuery) (out Why, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: []string{"apps", app, "why"}, in: in}, &out)
	return out, err
}
