package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/control"
)

type (
	ChannelPath struct {
		AppPath
		Channel string `path:"channel" maxLength:"64" example:"production"`
	}
	channelOut struct {
		ETag string `header:"ETag"`
		Body client.Channel
	}
	channelsOut struct {
		Body struct {
			Channels []client.Channel `json:"channels"`
		}
	}
	channelChangedOut struct {
		ETag string `header:"ETag"`
		Body client.ChannelChanged
	}
	createChannelIn struct {
		AppPath
		Body client.NewChannel
	}
	editChannelIn struct {
		ChannelPath
		IfMatch string `header:"If-Match"`
		Body    client.ChannelEdit
	}
	deleteChannelIn struct {
		ChannelPath
		IfMatch string `header:"If-Match"`
	}
)

func (a *api) registerChannels(h huma.API) {
	huma.Register(h, operation("list-channels", auth.ReadApp, http.MethodGet, "/apps/{app}/channels", "List channels"), a.listChannels)
	create := operation("create-channel", auth.SetChannel, http.MethodPost, "/apps/{app}/channels", "Make a channel")
	create.DefaultStatus = http.StatusCreated
	huma.Register(h, create, a.createChannel)
	huma.Register(h, operation("get-channel", auth.ReadApp, http.MethodGet, "/apps/{app}/channels/{channel}", "Show a channel with its live releases"), a.getChannel)
	huma.Register(h, operation("edit-channel", auth.SetChannel, http.MethodPatch, "/apps/{app}/channels/{channel}", "Change the rules of a channel"), a.editChannel)
	huma.Register(h, operation("delete-channel", auth.SetChannel, http.MethodDelete, "/apps/{app}/channels/{channel}", "Delete a channel"), a.deleteChannel)
}

// channelShape describes a channel together with what it serves now.
func (a *api) channelShape(c capstan.Channel) client.Channel {
	out := client.Channel{
		Name: c.Name, ID: c.Seq, Default: c.Default.List(), FormerDefault: c.FormerDefault.List(),
		Platforms: c.Platforms.List(), SelfAssign: c.SelfAssign, Policy: c.Policy, UnderNative: c.UnderNative,
		Prod: c.Prod, Dev: c.Dev, Device: c.Device, Emulator: c.Emulator,
		CreatedAt: c.CreatedAt, Number: c.Number, Live: []client.Release{},
	}
	for _, r := range a.live(c.App, c.Name) {
		out.Live = append(out.Live, releaseShape(r, true))
	}
	return out
}

// live returns what devices can get from a channel, from the snapshot that
// answers them.
func (a *api) live(app, channel string) []capstan.Release {
	snapshot, known, err := a.Catalog.App(app)
	if err != nil || !known {
		return nil
	}
	if c := snapshot.Channel(channel); c != nil {
		return c.Live()
	}
	return nil
}

// apply changes c by what an edit names.
func apply(e client.ChannelEdit, c *capstan.Channel) {
	set := func(to *bool, from *bool) {
		if from != nil {
			*to = *from
		}
	}
	if e.Platforms != nil {
		c.Platforms = capstan.NewPlatformSet(*e.Platforms...)
	}
	if e.Default != nil {
		c.Default = capstan.NewPlatformSet(*e.Default...)
	}
	if e.Policy != nil {
		c.Policy = *e.Policy
	}
	set(&c.SelfAssign, e.SelfAssign)
	set(&c.UnderNative, e.UnderNative)
	set(&c.Prod, e.Prod)
	set(&c.Dev, e.Dev)
	set(&c.Device, e.Device)
	set(&c.Emulator, e.Emulator)
}

// knownPlatforms refuses names that would silently be left out.
func knownPlatforms(e client.ChannelEdit) error {
	for field, list := range map[string]*[]capstan.Platform{"platforms": e.Platforms, "default": e.Default} {
		if list == nil {
			continue
		}
		for _, p := range *list {
			if !p.Known() {
				return capstan.Errorf(capstan.CodeInvalid, "platform %q is not one of ios, android, electron", string(p)).On(field)
			}
		}
	}
	return nil
}

func (a *api) changed(c control.ChannelChange) *channelChangedOut {
	out := &channelChangedOut{ETag: etag(c.Channel.Number), Body: client.ChannelChanged{Channel: a.channelShape(c.Channel)}}
	for _, m := range c.Moved {
		out.Body.Moved = append(out.Body.Moved, client.DefaultMoved{Platform: m.Platform, From: m.From, Devices: m.Devices})
	}
	return out
}

func (a *api) listChannels(ctx context.Context, in *AppPath) (*channelsOut, error) {
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App); err != nil {
		return nil, a.fail(ctx, err)
	}
	list, err := a.DB.Channels(ctx, in.App)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &channelsOut{}
	out.Body.Channels = make([]client.Channel, len(list))
	for i, c := range list {
		out.Body.Channels[i] = a.channelShape(c)
	}
	return out, nil
}

func (a *api) getChannel(ctx context.Context, in *ChannelPath) (*channelOut, error) {
	if _, err := a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App); err != nil {
		return nil, a.fail(ctx, err)
	}
	c, err := a.DB.Channel(ctx, in.App, in.Channel)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &channelOut{etag(c.Number), a.channelShape(c)}, nil
}

func (a *api) createChannel(ctx context.Context, in *createChannelIn) (*channelChangedOut, error) {
	if err := knownPlatforms(in.Body.ChannelEdit); err != nil {
		return nil, a.fail(ctx, err)
	}
	c, err := a.Control.CreateChannel(ctx, principal(ctx), in.App, in.Body.Name, func(c *capstan.Channel) { apply(in.Body.ChannelEdit, c) })
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return a.changed(c), nil
}

func (a *api) editChannel(ctx context.Context, in *editChannelIn) (*channelChangedOut, error) {
	number, err := ifMatch(in.IfMatch)
	if err == nil {
		err = knownPlatforms(in.Body)
	}
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	c, err := a.Control.EditChannel(ctx, principal(ctx), in.App, in.Channel, number, func(c *capstan.Channel) { apply(in.Body, c) })
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return a.changed(c), nil
}

func (a *api) deleteChannel(ctx context.Context, in *deleteChannelIn) (*struct{}, error) {
	number, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	if err := a.Control.DeleteChannel(ctx, principal(ctx), in.App, in.Channel, number); err != nil {
		return nil, a.fail(ctx, err)
	}
	return nil, nil
}
