package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestAppIsKeptAndChanged(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		want := capstan.App{ID: app, Org: capstan.DefaultOrg, Name: "Beispiel-App ü", SelfSet: true, CreatedAt: clock.Now()}
		want.Number = write(t, db, func(tx *store.Tx) error {
			return tx.CreateApp(capstan.App{ID: app, Name: want.Name, SelfSet: true})
		})
		got, err := db.App(t.Context(), app)
		diff(t, "created app", want, got)
		if err != nil {
			t.Error(err)
		}
		clock.Add(time.Hour)
		want.Name, want.SelfSet, want.ExposeMetadata = "Neu", false, true
		want.Number = write(t, db, func(tx *store.Tx) error { return tx.UpdateApp(want) })
		got, _ = db.App(t.Context(), app)
		diff(t, "changed app", want, got)
	})
}

func TestAppRefusals(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		wantCode(t, db, capstan.CodeAppExists, func(tx *store.Tx) error { return tx.CreateApp(capstan.App{ID: app}) })
		wantCode(t, db, capstan.CodeInvalid, func(tx *store.Tx) error { return tx.CreateApp(capstan.App{ID: "no app id"}) })
		wantCode(t, db, capstan.CodeAppNotFound, func(tx *store.Tx) error { return tx.UpdateApp(capstan.App{ID: "com.example.none"}) })
		wantCode(t, db, capstan.CodeAppNotFound, func(tx *store.Tx) error { return tx.DeleteApp("com.example.none") })
		if _, err := db.AppState(t.Context(), "com.example.none"); capstan.CodeOf(err) != capstan.CodeAppNotFound {
			t.Errorf("state of an unknown app: %v", err)
		}
	})
}

func TestAppsArePagedWithinTheOrganisation(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		// "Z" before "a" is the order of bytes on both engines.
		for _, id := range []string{"com.example.b", "com.example.Z", "com.example.a", "com.example.a-b"} {
			makeApp(t, db, id)
		}
		write(t, db, func(tx *store.Tx) error { return tx.CreateApp(capstan.App{ID: "org.other.app", Org: "other"}) })
		var got []string
		for after := ""; ; {
			page, err := db.Apps(t.Context(), store.AppFilter{Org: capstan.DefaultOrg, After: after, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				got, after = append(got, a.ID), a.ID
			}
			if len(page) < 3 {
				break
			}
		}
		diff(t, "apps", []string{"com.example.Z", "com.example.a", "com.example.a-b", "com.example.b"}, got)
		ids, err := db.AppIDs(t.Context())
		diff(t, "app ids", append(got, "org.other.app"), ids)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestDeletedAppLeavesNothingOfItself(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		fill(t, db)
		write(t, db, func(tx *store.Tx) error { return tx.DeleteApp(app) })
		for _, table := range []string{"app", "channel", "bundle", "bundle_file", "release", "pin", "self_pins", "seen", "device", "failure"} {
			var n int
			if err := db.Value(t.Context(), &n, "SELECT COUNT(*) FROM "+table); err != nil || n != 0 {
				t.Errorf("table %s has %d rows left: %v", table, n, err)
			}
		}
		makeApp(t, db, app) // and the id is free again
		if c := makeChannel(t, db, "production"); c.Seq != 1 {
			t.Errorf("the first channel of the new app has number %d", c.Seq)
		}
	})
}

// fill puts rows into every table, through the methods that write them.
func fill(t testing.TB, db *store.DB) (bundles []capstan.Bundle) {
	t.Helper()
	makeApp(t, db, app)
	c := capstan.NewChannel(app, "production")
	c.Default = capstan.AllPlatforms
	write(t, db, func(tx *store.Tx) error { _, err := tx.CreateChannel(c); return err })
	makeChannel(t, db, "beta")
	for i := range 2 {
		b := makeBundle(t, db, fmt.Sprintf("1.0.%d", i+1))
		bundles = append(bundles, b)
		release(t, db, "production", b)
	}
	now := time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC)
	err := db.WriteSightings(t.Context(), []store.Sighting{{Offered: true, Device: capstan.Device{
		App: app, ID: deviceID(1), Platform: capstan.IOS, CustomID: "alice", NativeVersion: "1.0.0", NativeBuild: "17",
		OSVersion: "19.1", PluginVersion: "8.44.1", InstallSource: "app_store", Channel: "production", KeyID: "MIIBCgKCAQEA", Prod: true,
		Running: "1.0.1", Offered: "1.0.2", OfferedRelease: 2, Reason: capstan.ReasonNewRelease, LastSeen: now,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.AddFailures(t.Context(), []store.FailureReport{{App: app, Device: deviceID(1), Version: "1.0.2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SetSelfPin(t.Context(), capstan.Pin{App: app, Device: deviceID(1), Channel: "beta"}); err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *store.Tx) error {
		if err := tx.SetPin(capstan.Pin{App: app, Device: deviceID(2), Channel: "beta"}); err != nil {
			return err
		}
		return tx.CreateToken(capstan.Token{ID: "abcdefgh", Name: "ci", Hash: capstan.EmptyDigest, Scopes: []string{capstan.ScopeAdmin}})
	})
	err = db.AppendEvents(t.Context(), []capstan.Event{{
		ID: "0199a000-0000-7000-8000-000000000001", App: app, Device: deviceID(1), Action: "update_fail", ReceivedAt: now,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return bundles
}
