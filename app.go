package capstan

import (
	"strings"
	"time"
)

// DefaultOrg is the organisation of a one-person installation. Every row of a
// tenant carries its organisation from the first migration on.
const DefaultOrg = "default"

// App is a product, named by the id that its devices send as app_id.
type App struct {
	ID   string
	Org  string
	Name string // for people; the id when not given

	// SelfSet allows plugins older than 5.34 / 6.34 / 7.34 / 8.0, which do not
	// keep their channel themselves, to record it on the server.
	SelfSet bool
	// ExposeMetadata sends link and comment of a bundle to devices that can
	// read them (plugin ≥ x.35.0).
	ExposeMetadata bool

	CreatedAt time.Time
	Number    int64 // of the last change that touched this app: its ETag
}

// Validate reports the first thing that is wrong with a.
func (a App) Validate() error {
	if err := ValidateAppID(a.ID); err != nil {
		return err
	}
	if len(a.Name) > 128 {
		return Errorf(CodeInvalid, "app name is %d bytes long, at most 128 are kept", len(a.Name)).On("name")
	}
	return nil
}

// ValidateAppID checks that id is a reverse-domain name as the plugins send
// it: letters and digits, then one or more groups of ".", word characters and
// hyphens (decisions.md §0), at most 128 bytes.
func ValidateAppID(id string) error {
	bad := func(why string) error {
		return Errorf(CodeInvalid, "app id %.140q %s", id, why).On("app").
			Hint("use the appId of capacitor.config, such as com.example.app")
	}
	if len(id) > 128 {
		return bad("is longer than 128 bytes")
	}
	groups := strings.Split(id, ".")
	if len(groups) < 2 {
		return bad("is not a reverse-domain name")
	}
	for i, g := range groups {
		if g == "" {
			return bad("has an empty part")
		}
		for j := range len(g) {
			c := g[j]
			word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
			if !word && (i == 0 || c != '_' && c != '-') {
				return bad("may hold only letters, digits, dots, and after the first dot _ and -")
			}
		}
	}
	return nil
}
