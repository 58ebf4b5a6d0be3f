package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/control"
	"github.com/capstan-ota/capstan/internal/store"
)

type (
	listReleasesIn struct {
		ChannelPath
		Page
	}
	releasesOut struct {
		Body struct {
			Releases []client.Release `json:"releases"`
			Next     string           `json:"next" doc:"after of the next page, empty at the end"`
		}
	}
	releaseIn struct {
		ChannelPath
		IfMatch string `header:"If-Match"`
		Body    client.NewRelease
	}
	rollbackIn struct {
		ChannelPath
		IfMatch string `header:"If-Match" doc:"without it the channel goes back from whatever it serves"`
		Body    *client.Rollback
	}
	releasedOut struct {
		Status int
		ETag   string `header:"ETag" doc:"of the channel"`
		Body   client.Released
	}
	listChangesIn struct {
		AppPath
		Page
	}
	changesOut struct {
		Body struct {
			Changes []client.Change `json:"changes"`
		}
	}
)

func (a *api) registerReleases(h huma.API) {
	const channel = "/apps/{app}/channels/{channel}"
	huma.Register(h, operation("list-releases", auth.ReadApp, http.MethodGet, channel+"/releases", "List the releases of a channel, newest first"), a.listReleases)
	create := operation("release", auth.MoveChannel, http.MethodPost, channel+"/releases", "Put a bundle on a channel")
	create.DefaultStatus = http.StatusCreated
	huma.Register(h, create, a.release)
	back := operation("rollback", auth.RollBack, http.MethodPost, channel+"/rollback", "Take the newest releases of a channel back")
	back.DefaultStatus = http.StatusCreated
	huma.Register(h, back, a.rollback)
	huma.Register(h, operation("list-changes", auth.ReadApp, http.MethodGet, "/apps/{app}/changes", "List the changes of an app, oldest first"), a.listChanges)
}

func releaseShape(r capstan.Release, live bool) client.Release {
	return client.Release{
		Number: r.Number, Channel: r.Channel, Version: r.Version, Builtin: r.Builtin(), Live: live, ShareBP: r.ShareBP,
		Paused: r.Paused, At: r.At, By: r.By, EndedAt: r.EndedAt, EndReason: r.EndReason,
	}
}

// after reads a number that a page handed out.
func after(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, capstan.Errorf(capstan.CodeInvalid, "after %.40q is not the next of a page", s).On("after")
	}
	return n, nil
}

func (a *api) listReleases(ctx context.Context, in *listReleasesIn) (*releasesOut, error) {
	before, err := after(in.After)
	if err == nil {
		_, err = a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App)
	}
	if err == nil {
		_, err = a.DB.Channel(ctx, in.App, in.Channel)
	}
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	list, err := a.DB.Releases(ctx, in.App, store.ReleaseFilter{Channel: in.Channel, Before: before, Limit: in.Limit + 1})
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	list, more := cut(list, in.Limit)
	live := map[int64]bool{}
	for _, r := range a.live(in.App, in.Channel) {
		live[r.Number] = true
	}
	out := &releasesOut{}
	out.Body.Releases = make([]client.Release, len(list))
	for i, r := range list {
		out.Body.Releases[i] = releaseShape(r, live[r.Number])
	}
	if more {
		out.Body.Next = strconv.FormatInt(list[len(list)-1].Number, 10)
	}
	return out, nil
}

func (a *api) release(ctx context.Context, in *releaseIn) (*releasedOut, error) {
	number, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	p, err := a.Control.Publish(ctx, principal(ctx), in.App, in.Channel, number, in.Body.Version, in.Body.Builtin)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return released(p), nil
}

func (a *api) rollback(ctx context.Context, in *rollbackIn) (*releasedOut, error) {
	var number int64
	if in.IfMatch != "" {
		var err error
		if number, err = ifMatch(in.IfMatch); err != nil {
			return nil, a.fail(ctx, err)
		}
	}
	var to control.Target
	if in.Body != nil {
		to = control.Target{Release: in.Body.ToRelease, Builtin: in.Body.ToBuiltin}
	}
	p, err := a.Control.Rollback(ctx, principal(ctx), in.App, in.Channel, number, to)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return released(p), nil
}

func released(p control.Published) *releasedOut {
	out := &releasedOut{Status: madeOrFound(!p.Unchanged), ETag: etag(p.Channel.Number), Body: client.Released{
		Release: releaseShape(p.Release, true), ChannelNumber: p.Channel.Number, Platforms: p.Channel.Platforms.List(),
		Default: p.Channel.Default.List(), Ended: p.Ended, DeltaFiles: p.DeltaFiles, DeltaBytes: p.DeltaBytes, Unchanged: p.Unchanged,
	}}
	if p.Previous != nil {
		out.Body.Previous = p.Previous.Version
	}
	return out
}

func (a *api) listChanges(ctx context.Context, in *listChangesIn) (*changesOut, error) {
	from, err := after(in.After)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	app, err := a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	list, err := a.DB.AppChanges(ctx, app.Org, app.ID, from, in.Limit)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &changesOut{}
	out.Body.Changes = make([]client.Change, len(list))
	for i, c := range list {
		out.Body.Changes[i] = client.Change(c)
	}
	return out, nil
}
