package store_test

import (
	"slices"
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
			// On empty tables PostgreSQL has no reason to prefer one index.
			if db.Engine() == "sqlite" && !strings.Contains(strings.Join(plan, "\n"), q.Index) {
				t.Errorf("%s does not use the index %s:\n%s\n%s", q.Name, q.Index, q.SQL, strings.Join(plan, "\n"))
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

// Without its index the query would still pass as one that uses an index, that
// of the number, and read the changes of every app.
func TestChangesOfAnAppAreFoundByApp(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		i := slices.IndexFunc(store.HotQueries(), func(q store.Query) bool { return q.Name == "changes of an app" })
		plan, _, err := db.Plan(t.Context(), store.HotQueries()[i])
		if text := strings.Join(plan, "\n"); err != nil || !strings.Contains(text, "change_app") {
			t.Errorf("the index change_app is not used: %v\n%s", err, text)
		}
	})
}
