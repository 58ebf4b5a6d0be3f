package store_test

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

// benchEngines runs fn on both engines as they are in production: with files
// that are synced.
func benchEngines(b *testing.B, fn func(b *testing.B, db *store.DB)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, storetest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) {
		storetest.Durable(b)
		fn(b, storetest.PostgresDB(b))
	})
}

func benchDevice(n int) capstan.DeviceID {
	var id capstan.DeviceID
	// Devices ask in no order: spread the ids over the whole key space.
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func benchSighting(n int, at time.Time) store.Sighting {
	return store.Sighting{Device: capstan.Device{
		App: app, ID: benchDevice(n), Platform: capstan.IOS, NativeVersion: "1.2.0", NativeBuild: "120",
		OSVersion: "19.1", PluginVersion: "8.44.1", Channel: "production", Prod: true, Running: "1.4.2",
		Reason: capstan.ReasonSameVersion, LastSeen: at,
	}}
}

// BenchmarkSightings writes batches of 500 of 100 000 devices that all are
// known; fresh is the first sight of each.
func BenchmarkSightings(b *testing.B) {
	benchEngines(b, func(b *testing.B, db *store.DB) {
		makeApp(b, db, app)
		now := time.Now()
		const devices, batch = 100_000, 500
		next := 0
		write := func(b *testing.B) {
			list := make([]store.Sighting, batch)
			for i := range list {
				list[i] = benchSighting(next%devices, now)
				next++
			}
			if err := db.WriteSightings(b.Context(), list); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		for next < devices {
			write(b)
		}
		fresh := time.Since(start)
		for b.Loop() {
			write(b)
		}
		b.ReportMetric(devices/fresh.Seconds(), "fresh/s")
		b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "sightings/s")
	})
}

// BenchmarkEvents appends batches of 20 events, as plugins send them, and of
// 1 000, as group commit makes them; each is durable before the next.
func BenchmarkEvents(b *testing.B) {
	for _, size := range []int{20, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			benchEngines(b, func(b *testing.B, db *store.DB) {
				events := make([]capstan.Event, size)
				now := time.Now()
				for i := range events {
					events[i] = capstan.Event{
						ID: uuid.Must(uuid.NewV7()).String(), App: app, Device: benchDevice(i), Action: "set",
						Version: "1.4.2", Platform: capstan.Android, Native: "1.2.0", Plugin: "8.44.1", At: now, ReceivedAt: now,
					}
				}
				for b.Loop() {
					if err := db.AppendEvents(b.Context(), events); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
			})
		})
	}
}

// BenchmarkWrite is one small change, durable.
func BenchmarkWrite(b *testing.B) {
	benchEngines(b, func(b *testing.B, db *store.DB) {
		makeApp(b, db, app)
		var n atomic.Int64
		for b.Loop() {
			_, err := db.Write(b.Context(), "bench", func(tx *store.Tx) error {
				return tx.UpdateApp(capstan.App{ID: app, Name: fmt.Sprint(n.Add(1))})
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
