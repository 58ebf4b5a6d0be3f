package auth

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/capstan-ota/capstan"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func token(t *testing.T, seed byte) (text, id string) {
	t.Helper()
	text, id, err := NewToken(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)), "admin")
	if err != nil {
		t.Fatal(err)
	}
	return text, id
}

func TestTokenHasTheDocumentedForm(t *testing.T) {
	t.Parallel()
	text, id := token(t, 0xff)
	if !regexp.MustCompile(`^` + TokenPattern + `$`).MatchString(text) {
		t.Errorf("token %q does not match the pattern that scanners use", text)
	}
	got, err := ParseToken(text)
	if err != nil || got != id {
		t.Errorf("ParseToken = %q, %v; want %q", got, err, id)
	}
}

func TestTokenIsMadeOfRandomBytes(t *testing.T) {
	t.Parallel()
	a, _ := token(t, 1)
	b, _ := token(t, 2)
	if a == b {
		t.Error("two different random streams gave the same token")
	}
	if _, _, err := NewToken(strings.NewReader("short"), "admin"); err == nil {
		t.Error("a random source that ends early gave a token")
	}
}

func TestMistypedTokenIsToldFromAWrongOne(t *testing.T) {
	t.Parallel()
	text, _ := token(t, 3)
	typo := []byte(text)
	typo[30] ^= 1
	for name, in := range map[string]string{
		"typo": string(typo), "cut": text[:len(text)-3], "empty": "", "foreign": "0d6b2c54-6a3e-4d3b-8a10-2f3a5f4d9c11",
	} {
		_, err := ParseToken(in)
		if capstan.CodeOf(err) != capstan.CodeUnauthorized {
			t.Errorf("%s: error %v, want code unauthorized", name, err)
		}
		if in != "" && err != nil && strings.Contains(err.Error(), in) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	text, id := token(t, 4)
	row := capstan.Token{ID: id, Org: "default", Hash: Hash(text), Scopes: []string{capstan.ScopeAdmin}}
	otherText, _ := token(t, 5)
	wrongSecret := text[:22] + otherText[22:len(otherText)-sumChars-1]
	wrongSecret += "_" + checksum(wrongSecret)

	tests := []struct {
		name string
		text string
		edit func(*capstan.Token)
		ok   bool
	}{
		{"right", text, func(*capstan.Token) {}, true},
		{"not yet expired", text, func(k *capstan.Token) { k.ExpiresAt = now.Add(time.Millisecond) }, true},
		{"expired", text, func(k *capstan.Token) { k.ExpiresAt = now }, false},
		{"revoked", text, func(k *capstan.Token) { k.RevokedAt = now.Add(-time.Hour) }, false},
		{"right id, wrong secret", wrongSecret, func(*capstan.Token) {}, false},
		{"unknown id", otherText, func(*capstan.Token) {}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			row := row
			tt.edit(&row)
			a := Authenticator{
				Token: func(_ context.Context, got string) (capstan.Token, error) {
					if got != row.ID {
						return capstan.Token{}, capstan.Errorf(capstan.CodeUnauthorized, "none")
					}
					return row, nil
				},
				Now: func() time.Time { return now },
			}
			p, err := a.Authenticate(t.Context(), tt.text)
			if tt.ok != (err == nil) {
				t.Fatalf("Authenticate = %+v, %v; want ok %v", p, err, tt.ok)
			}
			if err != nil && capstan.CodeOf(err) != capstan.CodeUnauthorized {
				t.Errorf("code %q, want unauthorized", capstan.CodeOf(err))
			}
		})
	}
}

func TestAuthorizeDeniesByDefault(t *testing.T) {
	t.Parallel()
	admin := Principal{Org: "default", Scopes: []string{capstan.ScopeAdmin}}
	uploader := Principal{Org: "default", Scopes: []string{string(UploadBundle)}}
	tests := []struct {
		name   string
		p      Principal
		action Action
		org    string
		want   capstan.Code
	}{
		{"admin in the own organisation", admin, ManageApp, "default", ""},
		{"admin elsewhere", admin, ReadApp, "other", capstan.CodeAppNotFound},
		{"nobody", Principal{}, ReadApp, "", capstan.CodeAppNotFound},
		{"scope held", uploader, UploadBundle, "default", ""},
		{"scope not held", uploader, RollBack, "default", capstan.CodeForbidden},
	}
	for _, tt := range tests {
		if got := capstan.CodeOf(Authorize(tt.p, tt.action, tt.org)); got != tt.want {
			t.Errorf("%s: code %q, want %q", tt.name, got, tt.want)
		}
	}
}
