package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
	"github.com/capstan-ota/capstan/internal/auth"
)

type whoamiOut struct{ Body client.Whoami }

func (a *api) registerWhoami(h huma.API) {
	huma.Register(h, operation("whoami", ownToken, http.MethodGet, "/whoami", "Say whose token this is"),
		func(ctx context.Context, _ *struct{}) (*whoamiOut, error) {
			p := principal(ctx)
			return &whoamiOut{client.Whoami{
				Token: p.Token.ID, Name: p.Token.Name, Org: p.Org, Scopes: p.Scopes, ExpiresAt: p.Token.ExpiresAt,
				Server: a.Version, PublicURL: a.PublicURL,
			}}, nil
		})
}

type (
	// AppPath names an app in a route. It is exported because huma looks into
	// embedded structs only when they are.
	AppPath struct {
		App string `path:"app" maxLength:"128" doc:"id of the app" example:"com.example.app"`
	}
	appOut struct {
		ETag string `header:"ETag"`
		Body client.App
	}
	appsOut struct {
		Body struct {
			Apps []client.App `json:"apps"`
		}
	}
	createAppIn struct{ Body client.NewApp }
	deleteAppIn struct {
		AppPath
		IfMatch string `header:"If-Match"`
	}
)

func appShape(a capstan.App) client.App {
	return client.App{ID: a.ID, Name: a.Name, SelfSet: a.SelfSet, ExposeMetadata: a.ExposeMetadata, CreatedAt: a.CreatedAt, Number: a.Number}
}

func (a *api) registerApps(h huma.API) {
	huma.Register(h, operation("list-apps", auth.ReadApp, http.MethodGet, "/apps", "List apps"), a.listApps)
	create := operation("create-app", auth.CreateAppHere, http.MethodPost, "/apps", "Make an app")
	create.DefaultStatus = http.StatusCreated
	huma.Register(h, create, a.createApp)
	huma.Register(h, operation("get-app", auth.ReadApp, http.MethodGet, "/apps/{app}", "Show an app"), a.getApp)
	huma.Register(h, operation("delete-app", auth.ManageApp, http.MethodDelete, "/apps/{app}", "Delete an app with everything of it"), a.deleteApp)
}

func (a *api) listApps(ctx context.Context, _ *struct{}) (*appsOut, error) {
	apps, err := a.Control.Apps(ctx, principal(ctx))
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	out := &appsOut{}
	out.Body.Apps = make([]client.App, len(apps))
	for i, app := range apps {
		out.Body.Apps[i] = appShape(app)
	}
	return out, nil
}

func (a *api) createApp(ctx context.Context, in *createAppIn) (*appOut, error) {
	app, err := a.Control.CreateApp(ctx, principal(ctx), capstan.App{
		ID: in.Body.ID, Name: in.Body.Name, SelfSet: in.Body.SelfSet, ExposeMetadata: in.Body.ExposeMetadata,
	})
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &appOut{etag(app.Number), appShape(app)}, nil
}

func (a *api) getApp(ctx context.Context, in *AppPath) (*appOut, error) {
	app, err := a.Control.App(ctx, principal(ctx), auth.ReadApp, in.App)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &appOut{etag(app.Number), appShape(app)}, nil
}

func (a *api) deleteApp(ctx context.Context, in *deleteAppIn) (*struct{}, error) {
	number, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	if err := a.Control.DeleteApp(ctx, principal(ctx), in.App, number); err != nil {
		return nil, a.fail(ctx, err)
	}
	return nil, nil
}
