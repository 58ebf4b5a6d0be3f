package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestPinsOfBothKinds(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		makeChannel(t, db, "beta")
		makeChannel(t, db, "alpha")
		op := capstan.Pin{App: app, Device: deviceID(1), Kind: capstan.PinOperator, Channel: "beta", At: clock.Now()}
		self := capstan.Pin{App: app, Device: deviceID(1), Kind: capstan.PinSelf, Channel: "alpha", At: clock.Now()}
		write(t, db, func(tx *store.Tx) error {
			return tx.SetPin(capstan.Pin{App: app, Device: deviceID(1), Channel: "alpha"})
		})
		write(t, db, func(tx *store.Tx) error { return tx.SetPin(op) })
		before := number(t, db)
		if _, err := db.SetSelfPin(t.Context(), self); err != nil {
			t.Fatal(err)
		}
		if number(t, db) != before {
			t.Error("a self-set pin took a change number")
		}
		check := func(want ...capstan.Pin) {
			t.Helper()
			var each []capstan.Pin
			err := db.EachPin(t.Context(), func(p capstan.Pin) error { each = append(each, p); return nil })
			list, listErr := db.Pins(t.Context(), app)
			if err := errors.Join(err, listErr); err != nil {
				t.Fatal(err)
			}
			byKind := func(a, b capstan.Pin) bool { return a.Kind < b.Kind }
			diff(t, "each", want, each, cmpopts.SortSlices(byKind), cmpopts.EquateEmpty())
			diff(t, "of the app", want, list, cmpopts.SortSlices(byKind), cmpopts.EquateEmpty())
		}
		check(op, self)
		write(t, db, func(tx *store.Tx) error { return tx.DeletePin(app, deviceID(1)) })
		check(self)
		for range 2 { // the second finds none
			if err := db.UnsetSelfPin(t.Context(), app, deviceID(1)); err != nil {
				t.Fatal(err)
			}
		}
		check()
		stopped := errors.New("stop")
		write(t, db, func(tx *store.Tx) error { return tx.SetPin(op) })
		if err := db.EachPin(t.Context(), func(capstan.Pin) error { return stopped }); !errors.Is(err, stopped) {
			t.Errorf("error of the function: %v", err)
		}
		wantCode(t, db, capstan.CodeChannelNotFound, func(tx *store.Tx) error {
			return tx.SetPin(capstan.Pin{App: app, Device: deviceID(1), Channel: "none"})
		})
		wantCode(t, db, capstan.CodeAppNotFound, func(tx *store.Tx) error { return tx.DeletePin("com.example.none", deviceID(1)) })
		_, err := db.SetSelfPin(t.Context(), capstan.Pin{App: "com.example.none", Channel: "beta"})
		if capstan.CodeOf(err) != capstan.CodeAppNotFound {
			t.Errorf("self-set pin of an unknown app: %v", err)
		}
	})
}

func TestSelfPinsAreBoundedOldestOut(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.CreateChannel(capstan.NewChannel(app, "beta"))
			return errors.Join(err, tx.SetPin(capstan.Pin{App: app, Device: deviceID(99), Channel: "beta"})) // does not count
		})
		set := func(n byte) []capstan.DeviceID {
			t.Helper()
			clock.Add(time.Second)
			removed, err := db.SetSelfPinMax(t.Context(), capstan.Pin{App: app, Device: deviceID(n), Channel: "beta", At: clock.Now()}, 3)
			if err != nil {
				t.Fatal(err)
			}
			return removed
		}
		for _, step := range []struct {
			set     byte
			removed []capstan.DeviceID
		}{
			{1, nil}, {2, nil}, {3, nil},
			{1, nil}, // again: now 2 is the oldest
			{4, []capstan.DeviceID{deviceID(2)}},
			{5, []capstan.DeviceID{deviceID(3)}},
		} {
			diff(t, "removed", step.removed, set(step.set), cmpopts.EquateEmpty())
		}
		if err := db.UnsetSelfPin(t.Context(), app, deviceID(4)); err != nil {
			t.Fatal(err)
		}
		diff(t, "there is room again", []capstan.DeviceID(nil), set(6), cmpopts.EquateEmpty())
		var counted, there int64
		err := errors.Join(
			db.Value(t.Context(), &counted, `SELECT n FROM self_pins`),
			db.Value(t.Context(), &there, `SELECT COUNT(*) FROM pin WHERE kind = 'self'`))
		if err != nil || counted != 3 || there != 3 {
			t.Errorf("counted %d pins, there are %d: %v", counted, there, err)
		}
	})
}

func TestSelfPinCountHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		var group sync.WaitGroup
		for w := range 4 {
			group.Go(func() {
				for n := range 10 { // each device is set by two writers
					p := capstan.Pin{App: app, Device: deviceID(byte(w/2*10 + n)), Channel: "beta"}
					if _, err := db.SetSelfPinMax(t.Context(), p, 15); err != nil {
						t.Errorf("set: %v", err)
					}
				}
			})
		}
		group.Wait()
		var counted, there int64
		err := errors.Join(
			db.Value(t.Context(), &counted, `SELECT n FROM self_pins`),
			db.Value(t.Context(), &there, `SELECT COUNT(*) FROM pin`))
		if err != nil || counted != there || there > 15 {
			t.Errorf("counted %d pins, there are %d: %v", counted, there, err)
		}
	})
}

func TestTokenIsKeptAndRevoked(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		want := capstan.Token{
			ID: "abcdefgh", Org: capstan.DefaultOrg, Name: "ci", Hash: capstan.EmptyDigest,
			Scopes: []string{"app:com.example.app", "bundle:write"}, CreatedAt: clock.Now(), ExpiresAt: clock.Now().Add(day),
		}
		write(t, db, func(tx *store.Tx) error { return tx.CreateToken(want) })
		got, err := db.Token(t.Context(), "abcdefgh")
		diff(t, "token", want, got)
		wantCode(t, db, capstan.CodeInvalid, func(tx *store.Tx) error { return tx.CreateToken(want) })
		clock.Add(time.Hour)
		write(t, db, func(tx *store.Tx) error { return tx.RevokeToken("abcdefgh") })
		want.RevokedAt = clock.Now()
		clock.Add(time.Hour)
		if n := write(t, db, func(tx *store.Tx) error { return tx.RevokeToken("abcdefgh") }); n != 0 {
			t.Errorf("revoking twice took number %d", n)
		}
		write(t, db, func(tx *store.Tx) error { return tx.CreateToken(capstan.Token{ID: "other", Org: "other"}) })
		list, listErr := db.Tokens(t.Context(), capstan.DefaultOrg)
		diff(t, "tokens", []capstan.Token{want}, list)
		if err := errors.Join(err, listErr); err != nil {
			t.Error(err)
		}
		wantCode(t, db, capstan.CodeNotFound, func(tx *store.Tx) error { return tx.RevokeToken("none") })
		if _, err := db.Token(t.Context(), "none"); capstan.CodeOf(err) != capstan.CodeNotFound {
			t.Errorf("reading: %v", err)
		}
		changes, err := db.Changes(t.Context(), 0, 0)
		if err != nil || slices.ContainsFunc(changes, func(c capstan.Change) bool { return c.App != "" }) {
			t.Errorf("a token's changes belong to no app: %v, %v", changes, err)
		}
	})
}
