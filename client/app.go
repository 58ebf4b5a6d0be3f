package client

import (
	"context"
	"net/http"
	"time"
)

// App is a product, named by the id that its devices send.
type App struct {
	ID             string    `json:"id" doc:"the id that devices send as app_id" example:"com.example.app"`
	Name           string    `json:"name" maxLength:"128"`
	SelfSet        bool      `json:"self_set" doc:"plugins older than x.34 may record their channel on the server"`
	ExposeMetadata bool      `json:"expose_metadata" doc:"send link and comment of bundles to devices"`
	CreatedAt      time.Time `json:"created_at"`
	Number         int64     `json:"number" doc:"number of the last change of this app: its ETag"`
}

// NewApp is what making an app needs.
type NewApp struct {
	ID             string `json:"id" maxLength:"128" example:"com.example.app"`
	Name           string `json:"name,omitempty" maxLength:"128"`
	SelfSet        bool   `json:"self_set,omitempty"`
	ExposeMetadata bool   `json:"expose_metadata,omitempty"`
}

// Apps lists every app that the token may see, by id.
func (c *Client) Apps(ctx context.Context) ([]App, error) {
	var out struct {
		Apps []App `json:"apps"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"apps"}}, &out)
	return out.Apps, err
}

// App returns one app; the error has code app_not_found when there is none.
func (c *Client) App(ctx context.Context, id string) (out App, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"apps", id}}, &out)
	return out, err
}

// CreateApp makes an app; the error has code app_exists when there is one.
func (c *Client) CreateApp(ctx context.Context, in NewApp) (out App, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: []string{"apps"}, in: in}, &out)
	return out, err
}

// DeleteApp deletes an app with everything of it.
func (c *Client) DeleteApp(ctx context.Context, id string, number int64) error {
	return c.call(ctx, request{method: http.MethodDelete, path: []string{"apps", id}, ifMatch: number}, nil)
}
