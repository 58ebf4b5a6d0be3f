package store_test

import (
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func channel(t testing.TB, db *store.DB, name string) capstan.Channel {
	t.Helper()
	c, err := db.Channel(t.Context(), app, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChannelIsKeptAndChanged(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		want := capstan.Channel{
			App: app, Name: "feature/x", Seq: 1, Default: capstan.NewPlatformSet(capstan.IOS), Platforms: capstan.AllPlatforms,
			SelfAssign: true, Policy: capstan.PolicyMetadata, UnderNative: true, Dev: true, Emulator: true, CreatedAt: clock.Now(),
		}
		want.Number = write(t, db, func(tx *store.Tx) error { _, err := tx.CreateChannel(want); return err })
		diff(t, "created channel", want, channel(t, db, "feature/x"))
		want.Policy, want.Prod, want.Device, want.Dev = capstan.PolicyMinor, true, true, false
		want.Number = write(t, db, func(tx *store.Tx) error { _, err := tx.UpdateChannel(want); return err })
		diff(t, "changed channel", want, channel(t, db, "feature/x"))
		list, err := db.Channels(t.Context(), app)
		diff(t, "channels", []capstan.Channel{want}, list)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestDefaultMovesAwayAndStaysAFormerDefault(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		ios, android := capstan.NewPlatformSet(capstan.IOS), capstan.NewPlatformSet(capstan.Android)
		old := capstan.NewChannel(app, "old")
		old.Default = ios | android
		write(t, db, func(tx *store.Tx) error { _, err := tx.CreateChannel(old); return err })
		renamed := capstan.NewChannel(app, "new")
		renamed.Default = ios
		before := number(t, db)
		n := write(t, db, func(tx *store.Tx) error { _, err := tx.CreateChannel(renamed); return err })

		o, c := channel(t, db, "old"), channel(t, db, "new")
		if o.Default != android || o.FormerDefault != ios {
			t.Errorf("old channel: default %v, former default %v", o.Default.List(), o.FormerDefault.List())
		}
		if c.Default != ios || c.FormerDefault != 0 {
			t.Errorf("new channel: default %v, former default %v", c.Default.List(), c.FormerDefault.List())
		}
		if o.Number != before+1 || c.Number != before+2 || n != c.Number {
			t.Errorf("moving a default: numbers %d and %d, returned %d, started at %d", o.Number, c.Number, n, before)
		}

		o.Default |= ios // and back
		write(t, db, func(tx *store.Tx) error { _, err := tx.UpdateChannel(o); return err })
		o, c = channel(t, db, "old"), channel(t, db, "new")
		if o.Default != ios|android || o.FormerDefault != 0 || c.Default != 0 || c.FormerDefault != ios {
			t.Errorf("after moving back: old %v/%v, new %v/%v", o.Default, o.FormerDefault, c.Default, c.FormerDefault)
		}

		o.Default = 0 // given up without a successor
		write(t, db, func(tx *store.Tx) error { _, err := tx.UpdateChannel(o); return err })
		if o = channel(t, db, "old"); o.FormerDefault != ios|android {
			t.Errorf("a default that was given up leaves former default %v", o.FormerDefault.List())
		}
	})
}

func TestChannelSeqIsNeverReused(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "a")
		makeChannel(t, db, "b")
		write(t, db, func(tx *store.Tx) error { return tx.DeleteChannel(app, "b") })
		if c := makeChannel(t, db, "b"); c.Seq != 3 {
			t.Errorf("seq %d, want 3", c.Seq)
		}
	})
}

func TestDeletedChannelTakesItsReleasesAlong(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "a")
		makeChannel(t, db, "b")
		b := makeBundle(t, db, "1.0.0")
		release(t, db, "a", b)
		kept := release(t, db, "b", b)
		write(t, db, func(tx *store.Tx) error { return tx.DeleteChannel(app, "a") })
		list, err := db.Releases(t.Context(), app, store.ReleaseFilter{})
		if err != nil || len(list) != 1 || list[0].Number != kept.Number {
			t.Errorf("releases left: %v, %v", list, err)
		}
		if next := release(t, db, "b", b); next.Number != 3 {
			t.Errorf("next release has number %d, want 3", next.Number)
		}
	})
}

func TestChannelRefusals(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "a")
		create := func(c capstan.Channel) func(tx *store.Tx) error {
			return func(tx *store.Tx) error { _, err := tx.CreateChannel(c); return err }
		}
		wantCode(t, db, capstan.CodeChannelExists, create(capstan.NewChannel(app, "a")))
		wantCode(t, db, capstan.CodeAppNotFound, create(capstan.NewChannel("com.example.none", "a")))
		wantCode(t, db, capstan.CodeInvalid, create(capstan.NewChannel(app, "builtin")))
		wantCode(t, db, capstan.CodeChannelNotFound, func(tx *store.Tx) error {
			_, err := tx.UpdateChannel(capstan.NewChannel(app, "none"))
			return err
		})
		wantCode(t, db, capstan.CodeChannelNotFound, func(tx *store.Tx) error { return tx.DeleteChannel(app, "none") })
		if _, err := db.Channel(t.Context(), app, "none"); capstan.CodeOf(err) != capstan.CodeChannelNotFound {
			t.Errorf("reading: %v", err)
		}
	})
}
