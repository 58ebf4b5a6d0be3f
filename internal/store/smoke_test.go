package store_test

import (
	"testing"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestSmoke(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n, err := db.Write(t.Context(), "me", func(tx *store.Tx) error {
			if err := tx.CreateApp(capstan.App{ID: "com.example.app"}); err != nil {
				return err
			}
			c := capstan.NewChannel("com.example.app", "production")
			c.Default = capstan.AllPlatforms
			_, err := tx.CreateChannel(c)
			return err
		})
		if err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if _, err := db.AppState(t.Context(), "com.example.app"); err != nil {
			t.Fatal(err)
		}
	})
}
