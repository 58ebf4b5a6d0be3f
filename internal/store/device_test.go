package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func sighting(n byte, at time.Time) store.Sighting {
	return store.Sighting{Device: capstan.Device{
		App: app, ID: deviceID(n), Platform: capstan.Android, CustomID: fmt.Sprint("user", n), NativeVersion: "1.0.0", NativeBuild: "17",
		OSVersion: "16", PluginVersion: "8.44.1", InstallSource: "play", Channel: "production", KeyID: "MIIBCgKCAQEA",
		Prod: true, Emulator: true, Running: "1.0.1", Reason: capstan.ReasonSameVersion, LastSeen: at,
	}}
}

func see(t testing.TB, db *store.DB, batch ...store.Sighting) {
	t.Helper()
	if err := db.WriteSightings(t.Context(), batch); err != nil {
		t.Fatalf("write sightings: %v", err)
	}
}

func device(t testing.TB, db *store.DB, key string) capstan.Device {
	t.Helper()
	d, err := db.Device(t.Context(), app, key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDeviceIsKeptAsItLastDescribedItself(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		before := number(t, db)
		first := clock.Now()
		s := sighting(1, first)
		see(t, db, s)
		want := s.Device
		want.FirstSeen = first
		diff(t, "first", want, device(t, db, s.Device.ID.String()))

		clock.Add(time.Minute) // every field changes
		s = store.Sighting{Device: capstan.Device{
			App: app, ID: deviceID(1), Platform: capstan.IOS, CustomID: "bob", NativeVersion: "2.0.0", NativeBuild: "18",
			OSVersion: "17", PluginVersion: "8.45.0", InstallSource: "store", Channel: "beta", KeyID: "OTHER",
			Running: "2.0.1", Reason: capstan.ReasonNoChannel, LastSeen: clock.Now(),
		}}
		see(t, db, s)
		want = s.Device
		want.FirstSeen = first
		diff(t, "second", want, device(t, db, "bob"))

		clock.Add(time.Minute) // only the narrow row changes
		s.Device.LastSeen, s.Device.Running = clock.Now(), "2.0.2"
		see(t, db, s)
		want.LastSeen, want.Running = s.Device.LastSeen, "2.0.2"
		diff(t, "third", want, device(t, db, "bob"))
		if after := number(t, db); after != before {
			t.Errorf("a sighting took a change number")
		}
	})
}

func TestEachFieldThatADeviceSaysReachesItsRow(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		s := sighting(1, clock.Now())
		see(t, db, s)
		for name, change := range map[string]func(d *capstan.Device){
			"platform":       func(d *capstan.Device) { d.Platform = capstan.IOS },
			"custom id":      func(d *capstan.Device) { d.CustomID = "x" },
			"native version": func(d *capstan.Device) { d.NativeVersion = "x" },
			"native build":   func(d *capstan.Device) { d.NativeBuild = "x" },
			"os version":     func(d *capstan.Device) { d.OSVersion = "x" },
			"plugin version": func(d *capstan.Device) { d.PluginVersion = "x" },
			"install source": func(d *capstan.Device) { d.InstallSource = "x" },
			"channel":        func(d *capstan.Device) { d.Channel = "x" },
			"key id":         func(d *capstan.Device) { d.KeyID = "x" },
			"prod":           func(d *capstan.Device) { d.Prod = !d.Prod },
			"emulator":       func(d *capstan.Device) { d.Emulator = !d.Emulator },
			"reason":         func(d *capstan.Device) { d.Reason = "x" },
			"day":            func(d *capstan.Device) { d.LastSeen = d.LastSeen.Add(day) },
			"running":        func(d *capstan.Device) { d.Running = "x" },
		} {
			change(&s.Device)
			see(t, db, s)
			got := device(t, db, s.Device.ID.String())
			got.FirstSeen = time.Time{}
			diff(t, name, s.Device, got)
		}
	})
}

func TestOfferIsKeptApartFromWhatRuns(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		offer := func(version string, release int64) store.Sighting {
			s := sighting(1, clock.Now())
			s.Offered, s.Device.Offered, s.Device.OfferedRelease, s.Device.Reason = true, version, release, capstan.ReasonNewRelease
			return s
		}
		check := func(what, version string, release int64, at time.Time) {
			t.Helper()
			d := device(t, db, "user1")
			if d.Offered != version || d.OfferedRelease != release || !d.OfferedAt.Equal(at) || d.Running != "1.0.1" {
				t.Errorf("%s: offered %q of release %d at %v, running %q", what, d.Offered, d.OfferedRelease, d.OfferedAt, d.Running)
			}
		}
		see(t, db, sighting(1, clock.Now()))
		check("no offer", "", 0, time.Time{})
		clock.Add(time.Minute)
		first := clock.Now()
		see(t, db, offer("1.0.2", 4))
		check("offer", "1.0.2", 4, first)
		clock.Add(time.Minute)
		see(t, db, offer("1.0.2", 4))
		check("the same offer again", "1.0.2", 4, first)
		clock.Add(time.Minute)
		see(t, db, sighting(1, clock.Now()))
		check("a check without offer", "1.0.2", 4, first)
		clock.Add(time.Minute)
		see(t, db, offer("1.0.2", 5))
		check("the same version by another release", "1.0.2", 5, clock.Now())
		clock.Add(time.Minute)
		offered := offer("1.0.3", 6)
		plain := sighting(1, clock.Now())
		plain.Device.Reason = capstan.ReasonFailedBefore
		see(t, db, offered, plain)
		check("an offer and a check in one batch", "1.0.3", 6, clock.Now())
		if d := device(t, db, "user1"); d.Reason != capstan.ReasonFailedBefore {
			t.Errorf("of a batch the last reason counts, not %q", d.Reason)
		}
	})
}

func TestSightingsOfUnknownAppsAreLeftOut(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		stray := sighting(2, time.Now())
		stray.Device.App = "com.example.none"
		see(t, db, stray)
		see(t, db, stray, sighting(1, time.Now()), stray)
		see(t, db)
		var n int
		if err := db.Value(t.Context(), &n, `SELECT COUNT(*) FROM seen`); err != nil || n != 1 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

func TestLateSightingDoesNotTurnTimeBack(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		newer := sighting(1, clock.Now())
		newer.Device.NativeVersion, newer.Device.Running = "3.0.0", "3.0.1"
		see(t, db, newer)
		see(t, db, sighting(1, clock.Now().Add(-2*day)))
		if d := device(t, db, "user1"); d.NativeVersion != "3.0.0" || d.Running != "3.0.1" || !d.LastSeen.Equal(clock.Now()) {
			t.Errorf("got %+v", d)
		}
	})
}

func TestDevicesArePagedByDayAndID(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		var batch []store.Sighting
		for n := range 9 {
			batch = append(batch, sighting(byte(n), clock.Now().Add(-time.Duration(n%3)*day)))
		}
		see(t, db, batch...)
		var got []string
		for after := ""; ; {
			page, next, err := db.Devices(t.Context(), app, store.DeviceFilter{After: after, Limit: 4})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				got = append(got, d.CustomID)
			}
			if after = next; next == "" {
				break
			}
		}
		diff(t, "order", []string{"user6", "user3", "user0", "user7", "user4", "user1", "user8", "user5", "user2"}, got)
		for _, bad := range []string{"x", "1.", "1.zz", "1.00"} {
			if _, _, err := db.Devices(t.Context(), app, store.DeviceFilter{After: bad}); capstan.CodeOf(err) != capstan.CodeInvalid {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
	})
}

func TestDeviceIsFoundByIDAndByCustomID(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		makeApp(t, db, app)
		older, newer, plain := sighting(1, clock.Now()), sighting(2, clock.Now().Add(time.Hour)), sighting(3, clock.Now())
		older.Device.CustomID, newer.Device.CustomID, plain.Device.CustomID = "alice", "alice", ""
		see(t, db, older, newer, plain)
		for key, want := range map[string]capstan.DeviceID{
			"alice": deviceID(2), older.Device.ID.String(): deviceID(1), "01000000-0000-0000-0000-000000000001": deviceID(1),
		} {
			if d := device(t, db, key); d.ID != want {
				t.Errorf("%s: found %s", key, d.ID)
			}
		}
		for _, key := range []string{"", "nobody", deviceID(9).String()} {
			if _, err := db.Device(t.Context(), app, key); capstan.CodeOf(err) != capstan.CodeDeviceNotFound {
				t.Errorf("%q: %v", key, err)
			}
		}
	})
}

func TestDevicesOnAChannelNameAreCounted(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		a, b, c := sighting(1, time.Now()), sighting(2, time.Now()), sighting(3, time.Now())
		b.Device.Channel, c.Device.Channel = "beta", ""
		see(t, db, a, b, c)
		for name, want := range map[string]int64{"production": 1, "beta": 1, "none": 0, "": 0} {
			n, err := db.CountDevicesOnChannelName(t.Context(), app, name)
			if err != nil || n != want {
				t.Errorf("%q: %d, %v, want %d", name, n, err, want)
			}
		}
	})
}

func TestFailureNeedsAnOfferOfThatVersion(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		s := sighting(1, time.Now())
		s.Offered, s.Device.Offered, s.Device.OfferedRelease = true, "1.0.2", 7
		see(t, db, s, sighting(2, time.Now()))
		report := func(n byte, version string) store.FailureReport {
			return store.FailureReport{App: app, Device: deviceID(n), Version: version, At: time.Now()}
		}
		accepted, err := db.AddFailures(t.Context(), []store.FailureReport{
			report(1, "1.0.1"), report(1, "1.0.2"), report(2, "1.0.2"), report(2, ""), report(3, "1.0.2"),
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []capstan.Failure{{App: app, Device: deviceID(1), Version: "1.0.2", Release: 7}}
		diff(t, "accepted", want, accepted)

		s.Device.OfferedRelease = 9 // released once more, failed once more
		see(t, db, s)
		if _, err := db.AddFailures(t.Context(), []store.FailureReport{report(1, "1.0.2")}); err != nil {
			t.Fatal(err)
		}
		want[0].Release = 9
		got, err := db.Failures(t.Context(), app, deviceID(1))
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "stored", want, got)
		var all []capstan.Failure
		err = db.EachFailure(t.Context(), func(f capstan.Failure) error { all = append(all, f); return nil })
		diff(t, "each", want, all)
		if err != nil {
			t.Error(err)
		}
		if err := db.ClearFailures(t.Context(), app, deviceID(1)); err != nil {
			t.Fatal(err)
		}
		if got, err = db.Failures(t.Context(), app, deviceID(1)); err != nil || len(got) != 0 {
			t.Errorf("after clearing: %v, %v", got, err)
		}
	})
}
