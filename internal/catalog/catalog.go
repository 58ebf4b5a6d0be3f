// Package catalog keeps the compiled snapshots that device requests read. It
// loads an app's rows, compiles them, swaps the result in atomically and
// follows the change table; a reader pays one atomic load and one map look-up.
//
// Beside the snapshots it holds the overlays: pins and failed bundles, per
// device, in sharded maps that one change touches in one place.
package catalog

import (
	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// Catalog is safe for concurrent use.
type Catalog struct{}

// App returns the snapshot of the app with the given id. known is false when
// the store holds no such app; err is set (code unavailable) when the catalog
// has never been able to load, so that a store failure is never reported as
// an unknown app.
func (c *Catalog) App(id string) (app *decide.App, known bool, err error) { panic("todo") }

// Overlay returns what is known about one device of the app. Its slices are
// read only.
func (c *Catalog) Overlay(app string, id capstan.DeviceID) decide.Overlay { panic("todo") }
