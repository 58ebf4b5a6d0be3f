package api

import (
	"context"
	"encoding/json/v2"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/decide"
	"github.com/capstan-ota/capstan/internal/store"
)

type (
	listDevicesIn struct {
		AppPath
		Page
	}
	devicesOut struct {
		Body struct {
			Devices []client.Device `json:"devices"`
			Next    string          `json:"next" doc:"after of the next page, empty at the end"`
		}
	}
	devicePath struct {
		AppPath
		Device string `path:"device" maxLength:"128" doc:"device id or custom id"`
	}
	deviceOut struct{ Body client.DeviceDetail }
	whyIn     struct {
		AppPath
		Body client.WhyQuery
	}
	whyOut struct{ Body client.Why }
)

func (a *api) registerDevices(h huma.API) {
	huma.Register(h, operation("list-devices", auth.ReadDevice, http.MethodGet, "/apps/{app}/devices", "List devices, the last seen first"), a.listDevices)
	huma.Register(h, operation("get-device", auth.ReadDevice, http.MethodGet, "/apps/{app}/devices/{device}", "Show a device with its newest events"), a.getDevice)
	huma.Register(h, operation("why", auth.ReadDevice, http.MethodPost, "/apps/{app}/why", "Explain what a device gets now"), a.why)
}

func (a *api) deviceShape(d capstan.Device) client.Device {
	out := client.Device{
		ID: d.ID.String(), Platform: d.Platform, CustomID: d.CustomID, NativeVersion: d.NativeVersion, NativeBuild: d.NativeBuild,
		OSVersion: d.OSVersion, PluginVersion: d.PluginVersion, InstallSource: d.InstallSource, Channel: d.Channel, KeyID: d.KeyID,
		Prod: d.Prod, Emulator: d.Emulator, Running: d.Running, Offered: d.Offered, OfferedRelease: d.OfferedRelease,
		OfferedAt: d.OfferedAt, Reason: d.Reason, FirstSeen: d.FirstSeen, LastSeen: d.LastSeen,
	}
	o := a.Catalog.Overlay(d.App, d.ID)
	out.Pin = o.Pin
	for _, f := range o.Failures {
		out.Failed = append(out.Failed, client.Failure{Version: f.Version, Release: f.Release, At: f.At})
	}
	return out
}

func (a *api) listDevices(ctx context.Context, in *listDevicesIn) (*devicesOut, error) {
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadDevice, in.App); err != nil {
		return nil, a.fail(ctx, err)
	}
	list, next, err := a.DB.Devices(ctx, in.App, store.DeviceFilter{After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &devicesOut{}
	out.Body.Devices, out.Body.Next = make([]client.Device, len(list)), next
	for i, d := range list {
		out.Body.Devices[i] = a.deviceShape(d)
	}
	return out, nil
}

// shownEvents is how many events are shown with a device.
const shownEvents = 50

func (a *api) getDevice(ctx context.Context, in *devicePath) (*deviceOut, error) {
	d, err := a.device(ctx, in.App, in.Device)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	events, err := a.DB.Events(ctx, in.App, d.ID, shownEvents, "")
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &deviceOut{client.DeviceDetail{Device: a.deviceShape(d), Events: make([]client.Event, len(events))}}
	for i, e := range events {
		out.Body.Events[i] = client.Event{
			Action: e.Action, Version: e.Version, File: e.File, OldVersion: e.OldVersion, At: e.At, ReceivedAt: e.ReceivedAt, Metadata: e.Metadata,
		}
	}
	return out, nil
}

func (a *api) device(ctx context.Context, app, key string) (capstan.Device, error) {
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadDevice, app); err != nil {
		return capstan.Device{}, err
	}
	return a.DB.Device(ctx, app, key)
}

func (a *api) why(ctx context.Context, in *whyIn) (*whyOut, error) {
	asked, err := a.asked(ctx, in)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	snapshot, known, err := a.Catalog.App(in.App)
	if err == nil && !known {
		err = capstan.Errorf(capstan.CodeAppNotFound, "there is no app %q", in.App)
	}
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	q := asked.Query
	q.At = a.Now()
	d, steps := decide.Explain(snapshot, a.Catalog.Overlay(in.App, q.Device), q)
	return &whyOut{explanation(q, d, steps, asked.Answer(d))}, nil
}

// asked finds the question: of a known device, or as given.
func (a *api) asked(ctx context.Context, in *whyIn) (Asked, error) {
	if (in.Body.Device == "") == (in.Body.Query == nil) {
		return Asked{}, capstan.Errorf(capstan.CodeInvalid, "name either a device or a query").On("device").
			Hint("capstan why DEVICE", "capstan why --query '{…}', for a device that never asked")
	}
	if in.Body.Device != "" {
		d, err := a.device(ctx, in.App, in.Body.Device)
		if err != nil {
			return Asked{}, err
		}
		return a.Asker.ByDevice(d)
	}
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadDevice, in.App); err != nil {
		return Asked{}, err
	}
	if id, _ := in.Body.Query["app_id"].(string); id != "" && id != in.App {
		return Asked{}, capstan.Errorf(capstan.CodeInvalid, "the query is of app %.140q, not of %q", id, in.App).On("query")
	}
	raw, err := json.Marshal(in.Body.Query)
	if err != nil {
		return Asked{}, capstan.Errorf(capstan.CodeInvalid, "the query cannot be read: %w", err).On("query")
	}
	return a.Asker.ByBody(raw, in.App)
}

func explanation(q *decide.Query, d decide.Decision, steps []decide.Step, answer []byte) client.Why {
	out := client.Why{
		Device: q.Device.String(), Outcome: d.Outcome, Reason: d.Reason, Steps: make([]client.Step, len(steps)), Answer: string(answer),
	}
	for i, s := range steps {
		out.Steps[i] = client.Step{Gate: s.Gate, Pass: s.Pass, Detail: s.Detail}
	}
	for _, e := range capstan.Reasons {
		if e.Reason == d.Reason {
			out.Means, out.Fix = e.Means, e.Fix
		}
	}
	if d.Channel != nil {
		out.Channel = d.Channel.Name
	}
	if d.Release != nil {
		out.Release = d.Release.Number
	}
	if d.Bundle != nil {
		out.Version = d.Bundle.Version
	}
	if d.Outcome == capstan.Offer {
		out.Form = d.Form.String()
	}
	return out
}
