package api_test

import (
	"encoding/json/v2"
	"os"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan/internal/api"
	"github.com/capstan-ota/capstan/internal/golden"
)

// description is what the tests need of the OpenAPI file.
type description struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Responses   map[string]struct{ Content map[string]any }
	}
	Components struct{ Schemas map[string]any }
	Security   []map[string][]string
}

func describe(t *testing.T) description {
	t.Helper()
	b, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal(b, &d, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDescriptionSaysWhatIsSent(t *testing.T) {
	t.Parallel()
	d := describe(t)
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			_, problem := op.Responses["default"].Content["application/problem+json"]
			if !problem || op.OperationID == "" || op.Summary == "" || ids[op.OperationID] {
				t.Errorf("%s %s is described by %+v", method, path, op)
			}
			ids[op.OperationID] = true
		}
	}
	_, ours := d.Components.Schemas["Problem"]
	_, humas := d.Components.Schemas["ErrorModel"]
	if !ours || humas || !strings.HasPrefix(d.OpenAPI, "3.1") || len(d.Security) != 1 {
		t.Errorf("version %s, security %v, Problem described: %t, the errors of huma: %t", d.OpenAPI, d.Security, ours, humas)
	}
}

// The file is what a client generator reads: `go test ./internal/api -update`
// writes it anew after the API has changed.
func TestDescriptionIsCommitted(t *testing.T) {
	t.Parallel()
	first, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	second, err := api.OpenAPI()
	if err != nil || string(first) != string(second) {
		t.Fatalf("the description differs from call to call: %v", err)
	}
	golden.Check(t, "../../../docs/openapi.json", first)

	w := newWorld(t)
	r := w.request("GET", api.OpenAPIPath, "")
	r.Header.Del("Authorization")
	if got := w.do(r); got.StatusCode != 200 || got.body != string(first) || got.Header.Get("Content-Type") != "application/openapi+json" {
		t.Errorf("served %d %v, and the same bytes: %t", got.StatusCode, got.Header, got.body == string(first))
	}
}

// Every operation stands in the page that people read.
func TestEveryOperationIsInTheGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range describe(t).Paths {
		for method := range methods {
			if call := "`" + strings.ToUpper(method) + " " + path + "`"; !strings.Contains(string(text), call) {
				t.Errorf("docs/api.md lacks %s", call)
			}
		}
	}
}
