package store_test

import (
	"strings"
	"testing"

	"github.com/capstan-ota/capstan/internal/store"
	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestHotQueriesUseAnIndex(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for _, q := range store.HotQueries() {
			plan, scans, err := db.Plan(t.Context(), q)
			if err != nil {
				t.Errorf("%s: %v", q.Name, err)
			}
			if len(scans) > 0 {
				t.Errorf("%s reads a whole table:\n%s\n%s", q.Name, q.SQL, strings.Join(plan, "\n"))
			}
		}
	})
}

func TestPlanTestSeesAScan(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		_, scans, err := db.Plan(t.Context(), store.Query{SQL: `SELECT name FROM channel WHERE policy = $1`, Args: []any{"none"}})
		if err != nil || len(scans) == 0 {
			t.Errorf("a query without index passed: %v, %v", scans, err)
		}
	})
}
