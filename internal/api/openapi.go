package api

import (
	"encoding/json/jsontext"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/capstan-ota/capstan/client"
)

// OpenAPI returns the description of the API as indented JSON; the same bytes
// every time.
func OpenAPI() ([]byte, error) {
	a := &api{}
	h := humago.New(http.NewServeMux(), a.config())
	a.register(h)
	describeErrors(h.OpenAPI())
	describeShapes(h.OpenAPI())
	b, err := h.OpenAPI().MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI: %w", err)
	}
	text := jsontext.Value(b)
	if err := text.Indent(jsontext.WithIndent("  ")); err != nil {
		return nil, fmt.Errorf("indent OpenAPI: %w", err)
	}
	return append(text, '\n'), nil
}

// describeErrors puts the shape of our errors where huma describes its own.
func describeErrors(o *huma.OpenAPI) {
	shape := o.Components.Schemas.Schema(reflect.TypeFor[client.Problem](), true, "")
	for _, item := range o.Paths {
		for _, op := range operations(item) {
			op.Responses["default"] = &huma.Response{
				Description: "Error; its code is explained in docs/errors.md",
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: shape}},
			}
		}
	}
	delete(o.Components.Schemas.Map(), "ErrorModel")
	delete(o.Components.Schemas.Map(), "ErrorDetail")
}

// describeShapes says what huma does not know: we send no null for an empty
// list, and may add fields to what we send, so only what callers send is
// closed.
func describeShapes(o *huma.OpenAPI) {
	shapes := o.Components.Schemas
	sent := map[*huma.Schema]bool{} // by callers
	for _, item := range o.Paths {
		for _, op := range operations(item) {
			if op.RequestBody == nil {
				continue
			}
			for _, m := range op.RequestBody.Content {
				eachShape(shapes, m.Schema, sent)
			}
		}
	}
	for _, s := range shapes.Map() {
		all := map[*huma.Schema]bool{}
		eachShape(shapes, s, all)
		for s := range all {
			s.Nullable = s.Nullable && s.Type != huma.TypeArray
			if s.AdditionalProperties == false && !sent[s] {
				s.AdditionalProperties = nil
			}
		}
	}
}

// eachShape collects s and every shape in it.
func eachShape(r huma.Registry, s *huma.Schema, all map[*huma.Schema]bool) {
	if s != nil && s.Ref != "" {
		s = r.SchemaFromRef(s.Ref)
	}
	if s == nil || all[s] {
		return
	}
	all[s] = true
	eachShape(r, s.Items, all)
	for _, p := range s.Properties {
		eachShape(r, p, all)
	}
	if of, ok := s.AdditionalProperties.(*huma.Schema); ok {
		eachShape(r, of, all)
	}
}

// operations returns what is there of a path.
func operations(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}
	for method, op := range all {
		if op == nil {
			delete(all, method)
		}
	}
	return all
}

// binary describes a body of bytes.
func binary(contentType string) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}
}
