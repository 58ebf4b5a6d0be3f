package decide

import (
	"fmt"
	"slices"
	"strings"

	"github.com/capstan-ota/capstan"
)

// App is everything the server knows about one app that can change an answer,
// compiled for reading. It is never modified after Compile and preparing.
type App struct {
	Number  int64 // of the last change that is in it
	Row     capstan.App
	Bundles map[string]*Bundle // by id

	channels map[string]*Channel
	list     []*Channel  // by name
	defaults [3]*Channel // by index of capstan.Platforms
}

// Channel is a channel as compiled into a snapshot.
type Channel struct {
	capstan.Channel
	live      []*candidate    // that some device can get, newest first
	earlier   []*candidate    // superseded, not ended, newest first: what a device falls back to
	withdrawn map[string]bool // versions that were taken back and that no live release carries
}

// candidate is a release with its bundle; nil bundle means built-in.
type candidate struct {
	release capstan.Release
	bundle  *Bundle
}

// Channels returns the channels of the app, by name. The caller must not
// change them.
func (a *App) Channels() []*Channel { return a.list }

// Channel returns the channel with the given name, nil when there is none.
func (a *App) Channel(name string) *Channel { return a.channels[name] }

// Default returns the channel of devices that name none, nil when the platform
// has none.
func (a *App) Default(p capstan.Platform) *Channel {
	if i := platformIndex(p); i >= 0 {
		return a.defaults[i]
	}
	return nil
}

// Live returns the releases that some device can get, newest first.
func (c *Channel) Live() []capstan.Release {
	out := make([]capstan.Release, len(c.live))
	for i, r := range c.live {
		out[i] = r.release
	}
	return out
}

// Offerable returns the bundles that a decision on the channel can offer.
func (c *Channel) Offerable() []*Bundle {
	var out []*Bundle
	for _, r := range slices.Concat(c.live, c.earlier) {
		if r.bundle != nil && !slices.Contains(out, r.bundle) {
			out = append(out, r.bundle)
		}
	}
	return out
}

func platformIndex(p capstan.Platform) int { return slices.Index(capstan.Platforms[:], p) }

// Compile compiles the rows of one app. It refuses contradictions, so that
// Decide cannot meet one: the error names the row.
func Compile(rows capstan.AppState) (*App, error) {
	a := &App{
		Number: rows.Number, Row: rows.App,
		Bundles: make(map[string]*Bundle, len(rows.Bundles)), channels: make(map[string]*Channel, len(rows.Channels)),
	}
	for _, row := range rows.Bundles {
		if err := a.addBundle(row, rows.Files[row.ID]); err != nil {
			return nil, err
		}
	}
	for _, row := range rows.Channels {
		if err := a.addChannel(row); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(a.list, func(x, y *Channel) int { return strings.Compare(x.Name, y.Name) })
	if err := a.addReleases(rows.Releases); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *App) addBundle(row capstan.Bundle, files []capstan.StoredFile) error {
	b := &Bundle{Bundle: row, Files: files}
	var ok bool
	if b.Parsed, ok = capstan.ParseVersion(row.Version); !ok {
		return fmt.Errorf("bundle %s has version %q, which is not semantic", row.ID, row.Version)
	}
	for p, v := range row.NativeMin {
		i := platformIndex(p)
		if i < 0 {
			return fmt.Errorf("bundle %s has a minimum for platform %q, which is unknown", row.Version, p)
		}
		if b.NativeMin[i], ok = capstan.ParseVersion(v); !ok {
			return fmt.Errorf("bundle %s needs native version %q, which is not semantic", row.Version, v)
		}
	}
	if a.Bundles[row.ID] != nil {
		return fmt.Errorf("two bundles have the id %s", row.ID)
	}
	for _, other := range a.Bundles {
		if other.Version == row.Version {
			return fmt.Errorf("two bundles have the version %s", row.Version)
		}
	}
	a.Bundles[row.ID] = b
	return nil
}

func (a *App) addChannel(row capstan.Channel) error {
	if err := row.Validate(); err != nil {
		return fmt.Errorf("channel %q: %w", row.Name, err)
	}
	if a.channels[row.Name] != nil {
		return fmt.Errorf("two channels have the name %q", row.Name)
	}
	c := &Channel{Channel: row, withdrawn: map[string]bool{}}
	for i, p := range capstan.Platforms {
		if !row.Default.Has(p) {
			continue
		}
		if other := a.defaults[i]; other != nil {
			return fmt.Errorf("channels %q and %q are both the default for %s", other.Name, row.Name, p)
		}
		a.defaults[i] = c
	}
	a.channels[row.Name] = c
	a.list = append(a.list, c)
	return nil
}

// addReleases sorts the releases of each channel into live, earlier and
// withdrawn.
func (a *App) addReleases(rows []capstan.Release) error {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(x, y capstan.Release) int { return int(y.Number - x.Number) })
	walks := make(map[string]*capstan.LiveWalk, len(a.channels))
	for i, r := range rows {
		c := a.channels[r.Channel]
		b := a.Bundles[r.Bundle]
		switch {
		case i > 0 && rows[i-1].Number == r.Number:
			return fmt.Errorf("two releases have the number %d", r.Number)
		case c == nil:
			return fmt.Errorf("release %d is on channel %q, which does not exist", r.Number, r.Channel)
		case b == nil && !r.Builtin():
			return fmt.Errorf("release %d has bundle %s, which does not exist", r.Number, r.Bundle)
		case r.ShareBP < 0 || r.ShareBP > capstan.ShareAll:
			return fmt.Errorf("release %d has a share of %d basis points", r.Number, r.ShareBP)
		}
		if b != nil {
			r.Version = b.Version
		}
		if r.Ended() {
			if b != nil {
				c.withdrawn[b.Version] = true
			}
			continue
		}
		if walks[r.Channel] == nil {
			walks[r.Channel] = &capstan.LiveWalk{}
		}
		var nativeMin map[capstan.Platform]string
		if b != nil {
			nativeMin = b.Bundle.NativeMin
		}
		if walks[r.Channel].Next(r, nativeMin) {
			c.live = append(c.live, &candidate{r, b})
		} else {
			c.earlier = append(c.earlier, &candidate{r, b})
		}
	}
	for _, c := range a.list {
		for _, r := range c.live {
			delete(c.withdrawn, r.release.Version)
		}
	}
	return nil
}
