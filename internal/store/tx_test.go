package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestNumbersAreGaplessAndInCommitOrder(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const writers, writes = 6, 15
		for w := range writers {
			makeApp(t, db, fmt.Sprintf("com.example.w%d", w))
		}
		start := number(t, db)
		ctx, stop := context.WithCancel(t.Context())
		var followed sync.WaitGroup
		// A follower that has seen number n must have seen everything up to n.
		followed.Go(func() {
			for at := start; ctx.Err() == nil; {
				list, err := db.Changes(t.Context(), at, 0)
				if err != nil {
					t.Errorf("follow: %v", err)
					return
				}
				for _, c := range list {
					if at++; c.Number != at {
						t.Errorf("after change %d came %d", at-1, c.Number)
						return
					}
				}
			}
		})
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				for i := range writes {
					id := fmt.Sprintf("com.example.w%d", w)
					n, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error {
						if err := tx.UpdateApp(capstan.App{ID: id, Name: fmt.Sprint(i)}); err != nil {
							return err
						}
						if i%5 == 4 {
							return errors.New("changed my mind")
						}
						_, err := tx.CreateChannel(capstan.NewChannel(id, fmt.Sprintf("c%d", i)))
						return err
					})
					if i%5 == 4 {
						continue
					}
					c, chErr := db.Channel(t.Context(), id, fmt.Sprintf("c%d", i))
					if err := errors.Join(err, chErr); err != nil || c.Number != n {
						t.Errorf("channel has number %d, write returned %d: %v", c.Number, n, err)
					}
				}
			})
		}
		writing.Wait()
		stop()
		followed.Wait()
		want := start + writers*writes/5*4*2
		if got := number(t, db); got != want {
			t.Errorf("number is %d, want %d: a rolled-back write took one, or one was lost", got, want)
		}
	})
}

func TestCompareAndSetHasOneWinner(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		makeChannel(t, db, "production")
		seen := channel(t, db, "production")
		compareAndSet := func(after func()) (int64, error) {
			return db.Write(t.Context(), "tester", func(tx *store.Tx) error {
				c, err := tx.Channel(app, "production")
				if err != nil {
					return err
				}
				after()
				if c.Number != seen.Number {
					return capstan.Errorf(capstan.CodeStale, "stale")
				}
				_, err = tx.CreateRelease(capstan.Release{App: app, Channel: "production", ShareBP: capstan.ShareAll})
				return err
			})
		}
		// The second compares while the first has compared and not yet written.
		compared := make(chan struct{})
		var second sync.WaitGroup
		n, err := compareAndSet(func() {
			second.Go(func() {
				var once sync.Once
				_, err := compareAndSet(func() { once.Do(func() { close(compared) }) })
				if capstan.CodeOf(err) != capstan.CodeStale {
					t.Errorf("the second compare-and-set on one number: %v", err)
				}
			})
			untilBlocked(t, db, compared)
		})
		second.Wait()
		if c := channel(t, db, "production"); err != nil || c.Number != n {
			t.Errorf("a release left its channel's number at %d, want %d (%v)", c.Number, n, err)
		}
	})
}

func TestWriteThatChangesNothingTakesNoNumber(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, app)
		c := makeChannel(t, db, "production")
		b := makeBundle(t, db, "1.0.0")
		r := release(t, db, "production", b)
		pin := capstan.Pin{App: app, Device: deviceID(1), Channel: "production"}
		write(t, db, func(tx *store.Tx) error { return tx.SetPin(pin) })
		before := number(t, db)
		for name, fn := range map[string]func(tx *store.Tx) error{
			"nothing":        func(tx *store.Tx) error { return nil },
			"same app":       func(tx *store.Tx) error { return tx.UpdateApp(capstan.App{ID: app}) },
			"same channel":   func(tx *store.Tx) error { _, err := tx.UpdateChannel(c); return err },
			"same rollout":   func(tx *store.Tx) error { return tx.SetRollout(app, r.Number, r.ShareBP, r.Paused) },
			"same pin":       func(tx *store.Tx) error { return tx.SetPin(pin) },
			"absent pin":     func(tx *store.Tx) error { return tx.DeletePin(app, deviceID(2)) },
			"reading":        func(tx *store.Tx) error { _, err := tx.Releases(app, store.ReleaseFilter{}); return err },
			"reading bundle": func(tx *store.Tx) error { _, err := tx.Bundle(app, "1.0.0"); return err },
		} {
			if n := write(t, db, fn); n != 0 {
				t.Errorf("%s: took number %d", name, n)
			}
		}
		if after := number(t, db); after != before {
			t.Errorf("number moved from %d to %d", before, after)
		}
	})
}

func TestChangeRowsHoldBeforeAndAfter(t *testing.T) {
	t.Parallel()
	storetest.RunClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		now := clock.Now()
		write(t, db, func(tx *store.Tx) error {
			if err := tx.CreateApp(capstan.App{ID: app}); err != nil {
				return err
			}
			return tx.UpdateApp(capstan.App{ID: app, Name: "Example"})
		})
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.CreateChannel(capstan.NewChannel(app, "production"))
			return err
		})
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.CreateRelease(capstan.Release{App: app, Channel: "production", ShareBP: 100, Salt: "salt"})
			return err
		})
		write(t, db, func(tx *store.Tx) error { return tx.EndRelease(app, 1, capstan.EndAborted) })
		write(t, db, func(tx *store.Tx) error {
			return tx.CreateToken(capstan.Token{ID: "abcdefgh", Name: "ci", Hash: capstan.EmptyDigest, Scopes: []string{capstan.ScopeAdmin}})
		})
		write(t, db, func(tx *store.Tx) error { return tx.DeleteApp(app) })
		got, err := db.Changes(t.Context(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		const created = `"created_at":"2026-11-25T12:00:00Z"`
		appPlain := `{"id":"com.example.app","org":"default",` + created + `}`
		appNamed := `{"id":"com.example.app","org":"default","name":"Example",` + created + `}`
		rel := `{"number":1,"channel":"production","share_bp":100,"salt":"salt","at":"2026-11-25T12:00:00Z","by":"tester"`
		diff(t, "changes", []capstan.Change{
			{Number: 1, App: app, At: now, Actor: "tester", Noun: capstan.NounApp, ID: app, After: appPlain},
			{Number: 2, App: app, At: now, Actor: "tester", Noun: capstan.NounApp, ID: app, Before: appPlain, After: appNamed},
			{Number: 3, App: app, At: now, Actor: "tester", Noun: capstan.NounChannel, ID: "production",
				After: `{"name":"production","seq":1,"platforms":["ios","android","electron"],"policy":"major","prod":true,"dev":true,"device":true,"emulator":true,` + created + `}`},
			{Number: 4, App: app, At: now, Actor: "tester", Noun: capstan.NounRelease, ID: "1", After: rel + `}`},
			{Number: 5, App: app, At: now, Actor: "tester", Noun: capstan.NounRelease, ID: "1",
				Before: rel + `}`, After: rel + `,"ended_at":"2026-11-25T12:00:00Z","end_reason":"aborted"}`},
			{Number: 6, At: now, Actor: "tester", Noun: capstan.NounToken, ID: "abcdefgh",
				After: `{"id":"abcdefgh","org":"default","name":"ci","scopes":["admin"],` + created + `}`},
			{Number: 7, App: app, At: now, Actor: "tester", Noun: capstan.NounApp, ID: app, Before: appNamed},
		}, got)
	})
}

func TestChangesArePaged(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for i := range 5 {
			makeApp(t, db, fmt.Sprintf("com.example.a%d", i))
		}
		list, err := db.Changes(t.Context(), 1, 2)
		if err != nil || len(list) != 2 || list[0].Number != 2 || list[1].Number != 3 {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

func TestChangesOfAnAppAreItsOwn(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const taken = "com.example.taken"
		makeApp(t, db, taken)                                                                                  // 1
		makeApp(t, db, app)                                                                                    // 2
		write(t, db, func(tx *store.Tx) error { return tx.DeleteApp(taken) })                                  // 3
		write(t, db, func(tx *store.Tx) error { return tx.CreateApp(capstan.App{ID: taken, Org: "another"}) }) // 4
		for _, tt := range []struct {
			org, app string
			after    int64
			n        int
			want     []int64
		}{
			{capstan.DefaultOrg, taken, 0, 0, []int64{1, 3}},
			{capstan.DefaultOrg, taken, 0, 1, []int64{1}},
			{capstan.DefaultOrg, taken, 1, 0, []int64{3}},
			{"another", taken, 0, 0, []int64{4}},
			{capstan.DefaultOrg, app, 0, 0, []int64{2}},
			{capstan.DefaultOrg, "com.example.none", 0, 0, nil},
		} {
			list, err := db.AppChanges(t.Context(), tt.org, tt.app, tt.after, tt.n)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, c := range list {
				got = append(got, c.Number)
			}
			diff(t, tt.org+" "+tt.app, tt.want, got)
		}
	})
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		boom := errors.New("boom")
		_, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error {
			if err := tx.CreateApp(capstan.App{ID: app}); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Errorf("got error %v", err)
		}
		if _, err := db.App(t.Context(), app); capstan.CodeOf(err) != capstan.CodeAppNotFound {
			t.Errorf("the app of a failed write: %v", err)
		}
	})
}

func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		makeApp(t, db, "com.example.a")
		makeApp(t, db, "com.example.b")
		// Two writers lock two apps in opposite order. On PostgreSQL both get
		// their first before either asks for its second.
		var ready, group sync.WaitGroup
		ready.Add(2)
		for _, order := range [][2]string{{"com.example.a", "com.example.b"}, {"com.example.b", "com.example.a"}} {
			group.Go(func() {
				first := true
				_, err := db.Write(t.Context(), "tester", func(tx *store.Tx) error {
					if err := tx.UpdateApp(capstan.App{ID: order[0], Name: order[0]}); err != nil {
						return err
					}
					if first && db.Engine() == "postgres" {
						first = false
						ready.Done()
						ready.Wait()
					}
					return tx.UpdateApp(capstan.App{ID: order[1], Name: order[0]})
				})
				if err != nil {
					t.Errorf("write: %v", err)
				}
			})
		}
		group.Wait()
	})
}
