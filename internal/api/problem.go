package api

import (
	"cmp"
	"encoding/json/v2"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/client"
)

// problem is an error on its way out: it is both the error that handlers
// return and the body that is sent.
type problem struct{ client.Problem }

func (p *problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// docs is where a code is explained.
const docs = "https://github.com/capstan-ota/capstan/blob/main/docs/errors.md#"

// problemOf describes err to people. What is not a capstan.Error is not shown.
func problemOf(err error, request string) *problem {
	e, ok := errors.AsType[*capstan.Error](err)
	if !ok {
		e = capstan.Errorf(capstan.CodeInternal, "something went wrong that the server did not expect").
			Hint("the server's log has the details under request " + request)
	}
	entry := e.Code.Entry()
	status := cmp.Or(entry.Status, http.StatusInternalServerError)
	return &problem{client.Problem{
		Type: docs + string(e.Code), Title: entry.Means, Status: status, Detail: e.Message, Code: e.Code,
		Field: e.Field, Hints: e.Hints, Number: e.Number, Details: e.Details, Request: request,
	}}
}

// asProblem gives what huma finds wrong with a request the shape of every other
// error.
func asProblem(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := capstan.CodeInvalid
	switch {
	case m.Status == http.StatusRequestEntityTooLarge:
		code = capstan.CodeTooLarge
	case m.Status >= 500:
		code = capstan.CodeInternal
	}
	e := capstan.Errorf(code, "%s", cmp.Or(m.Detail, m.Title))
	for _, d := range m.Errors {
		e.Details = append(e.Details, d.Error())
		if e.Field == "" {
			e.Field = strings.TrimPrefix(strings.TrimPrefix(d.Location, "body."), "query.")
		}
	}
	p := problemOf(e, requestID(ctx.Context()))
	p.Status = m.Status
	return p, nil
}

func writeProblem(w http.ResponseWriter, p *problem) {
	b, err := json.Marshal(p.Problem)
	if err != nil {
		http.Error(w, p.Detail, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // a caller that went away needs no answer
}
