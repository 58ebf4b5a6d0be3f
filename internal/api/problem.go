package api

import (
	"cmp"
	"encoding/json/v2"
	"errors"
	"maps"
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

// retryAfter is how many seconds a caller is asked to wait when the server
// cannot do something now: about as long as a database takes to restart.
const retryAfter = "5"

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	switch p.Status {
	case http.StatusUnauthorized:
		return http.Header{"Www-Authenticate": {`Bearer realm="capstan"`}}
	case http.StatusServiceUnavailable:
		return http.Header{"Retry-After": {retryAfter}}
	}
	return nil
}

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
	code, status := capstan.CodeInvalid, m.Status
	switch {
	case status == http.StatusRequestEntityTooLarge:
		code = capstan.CodeTooLarge
	case status == http.StatusRequestTimeout:
		code = capstan.CodeTooSlow
	case status >= http.StatusInternalServerError:
		status = http.StatusBadRequest // huma calls a body that broke off its own fault
	}
	e := capstan.Errorf(code, "%s", cmp.Or(m.Detail, m.Title))
	for i, d := range m.Errors[:min(len(m.Errors), maxDetails)] {
		_, field, _ := strings.Cut(d.Location, ".")
		field = cmp.Or(field, d.Location)
		line := strings.TrimPrefix(field+": "+clip(d.Message), ": ")
		if i == 0 {
			e.Field, e.Message = field, e.Message+": "+line
		}
		e.Details = append(e.Details, line)
	}
	p := problemOf(e, requestID(ctx.Context()))
	p.Status = status
	return p, nil
}

// An error answer stays small, however much was wrong with the request: the
// values that huma quotes are left out, and so is what goes beyond this.
const (
	maxDetails     = 20
	maxDetailBytes = 300
)

func clip(s string) string {
	if len(s) <= maxDetailBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetailBytes], "") + "…"
}

func writeProblem(w http.ResponseWriter, p *problem) {
	b, err := json.Marshal(p.Problem)
	if err != nil {
		http.Error(w, p.Detail, p.Status)
		return
	}
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // a caller that went away needs no answer
}
