package control

import (
	"context"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/auth"
	"github.com/capstan-ota/capstan/internal/store"
)

// Apps lists the caller's apps, by id.
func (c *Control) Apps(ctx context.Context, p auth.Principal) ([]capstan.App, error) {
	if err := auth.Authorize(p, auth.ReadApp, p.Org); err != nil {
		return nil, err
	}
	var all []capstan.App
	for after := ""; ; {
		page, err := c.DB.Apps(ctx, store.AppFilter{Org: p.Org, After: after, Limit: 1000})
		all = append(all, page...)
		if err != nil || len(page) < 1000 {
			return all, err
		}
		after = page[len(page)-1].ID
	}
}

// CreateApp makes an app in the caller's organisation. Errors: app_exists,
// invalid.
func (c *Control) CreateApp(ctx context.Context, p auth.Principal, a capstan.App) (capstan.App, error) {
	if err := auth.Authorize(p, auth.CreateAppHere, p.Org); err != nil {
		return a, err
	}
	a.Org = p.Org
	if a.Name == "" {
		a.Name = a.ID
	}
	if err := a.Validate(); err != nil {
		return a, err
	}
	if err := c.commit(ctx, p, a.ID, func(tx *store.Tx) error { return tx.CreateApp(a) }); err != nil {
		return a, err
	}
	return c.DB.App(ctx, a.ID)
}

// DeleteApp deletes an app with everything of it, by compare-and-set on its
// number.
func (c *Control) DeleteApp(ctx context.Context, p auth.Principal, id string, number int64) error {
	if _, err := c.App(ctx, p, auth.ManageApp, id); err != nil {
		return err
	}
	return c.commit(ctx, p, id, func(tx *store.Tx) error {
		now, err := tx.App(id)
		if err != nil {
			return err
		}
		if err := compareAndSet("app "+id, number, now.Number); err != nil {
			return err
		}
		return tx.DeleteApp(id)
	})
}
