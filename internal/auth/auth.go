// Package auth says who calls the public API and what they may do: tokens,
// principals, and the one function Authorize that every action passes.
//
// It knows nothing of HTTP beyond the text of a bearer token. Devices are not
// its business: they send no credential at all.
package auth

import (
	"context"
	"slices"
	"time"

	"github.com/capstan-ota/capstan"
)

// Principal is who calls.
type Principal struct {
	Token  capstan.Token
	Org    string
	Scopes []string
}

// Actor is the name under which a principal's changes are recorded.
func (p Principal) Actor() string { return p.Token.ID }

// Action is what a principal wants to do.
type Action string

const (
	ReadApp       Action = "app:read"
	ManageApp     Action = "app:manage"
	UploadBundle  Action = "bundle:upload"
	DeleteBundle  Action = "bundle:delete"
	SetChannel    Action = "channel:configure"
	MoveChannel   Action = "channel:promote"
	RollBack      Action = "channel:rollback"
	ReadDevice    Action = "device:read"
	CreateAppHere Action = "app:create"
)

// Authorize allows or refuses an action on something of the given
// organisation. It denies by default. Somebody else's app is reported as not
// found, so that tenants learn nothing of each other.
func Authorize(p Principal, action Action, org string) error {
	if p.Org == "" || p.Org != org {
		return capstan.Errorf(capstan.CodeAppNotFound, "there is no such app").On("app").Hint("capstan app list")
	}
	if slices.Contains(p.Scopes, capstan.ScopeAdmin) || slices.Contains(p.Scopes, string(action)) {
		return nil
	}
	return capstan.Errorf(capstan.CodeForbidden, "token %s may not do %s", p.Token.ID, action).
		Hint("use a token with the scope " + string(action))
}

// Authenticator turns the text of a token into a principal.
type Authenticator struct {
	// Token returns the row of a token by its public id; the error has code
	// unauthorized when there is none.
	Token func(ctx context.Context, id string) (capstan.Token, error)
	Now   func() time.Time
}

// Authenticate checks a token. The error has code unauthorized, with the same
// words whether the id or the secret is wrong.
func (a Authenticator) Authenticate(ctx context.Context, text string) (Principal, error) {
	id, err := ParseToken(text)
	if err != nil {
		return Principal{}, err
	}
	t, err := a.Token(ctx, id)
	if err != nil {
		if c := capstan.CodeOf(err); c == capstan.CodeUnauthorized || c == capstan.CodeNotFound {
			return Principal{}, errUnknown()
		}
		return Principal{}, err
	}
	if err := check(t, text, a.Now()); err != nil {
		return Principal{}, err
	}
	return Principal{Token: t, Org: t.Org, Scopes: t.Scopes}, nil
}
