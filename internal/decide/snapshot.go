package decide

import (
	"cmp"
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
	releases  []*candidate    // not ended, newest first
	withdrawn map[string]bool // versions that were taken back and that no live release carries
}

// candidate is a release with its bundle; nil bundle means built-in.
type candidate struct {
	release capstan.Release
	bundle  *Bundle
	// live: some device can get it. Of the others, which newer ones have
	// replaced for everybody, only a device that has nothing newer gets one.
	live bool
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
	var out []capstan.Release
	for _, r := range c.releases {
		if r.live {
			out = append(out, r.release)
		}
	}
	return out
}

// Offerable returns the bundles that a decision on the channel can offer.
func (c *Channel) Offerable() []*Bundle {
	var out []*Bundle
	for _, r := range c.releases {
		if r.bundle != nil && !slices.Contains(out, r.bundle) {
			out = append(out, r.bundle)
		}
	}
	return out
}

func platformIndex(p capstan.Platform) int { return slices.Index(capstan.Platforms[:], p) }

// Compile compiles the rows of one app. It refuses contradictions, so that
// Decide cannot meet one: the error names the row. The store's constraints
// rule them out too; a snapshot that slipped past them is not published, and
// devices go on with the last good one.
func Compile(rows capstan.AppState) (*App, error) {
	a := &App{
		Number: rows.Number, Row: rows.App,
		Bundles: make(map[string]*Bundle, len(rows.Bundles)), channels: make(map[string]*Channel, len(rows.Channels)),
	}
	if err := a.addBundles(rows.Bundles, rows.Files); err != nil {
		return nil, err
	}
	if err := a.addChannels(rows.Channels); err != nil {
		return nil, err
	}
	if err := a.addReleases(rows.Releases); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *App) addBundles(rows []capstan.Bundle, files map[string][]capstan.StoredFile) error {
	versions := make(map[string]bool, len(rows))
	for _, row := range rows {
		b, err := compileBundle(row, files[row.ID])
		switch {
		case err != nil:
			return err
		case a.Bundles[row.ID] != nil:
			return fmt.Errorf("two bundles have the id %s", row.ID)
		case versions[row.Version]:
			return fmt.Errorf("two bundles have the version %s", row.Version)
		}
		a.Bundles[row.ID], versions[row.Version] = b, true
	}
	return nil
}

func compileBundle(row capstan.Bundle, files []capstan.StoredFile) (*Bundle, error) {
	b := &Bundle{Bundle: row, Files: files}
	var ok bool
	if b.Parsed, ok = capstan.ParseVersion(row.Version); !ok {
		return nil, fmt.Errorf("bundle %s has version %q, which is not semantic", row.ID, row.Version)
	}
	for p, v := range row.NativeMin {
		i := platformIndex(p)
		if i < 0 {
			return nil, fmt.Errorf("bundle %s has a minimum for platform %q, which is unknown", row.Version, p)
		}
		if b.NativeMin[i], ok = capstan.ParseVersion(v); !ok {
			return nil, fmt.Errorf("bundle %s needs native version %q, which is not semantic", row.Version, v)
		}
	}
	if row.State != capstan.BundleReady && row.State != capstan.BundleGone {
		return nil, fmt.Errorf("bundle %s is in state %q, which is unknown", row.Version, row.State)
	}
	return b, nil
}

func (a *App) addChannels(rows []capstan.Channel) error {
	seqs := make(map[int64]string, len(rows))
	for _, row := range rows {
		if err := row.Validate(); err != nil {
			return fmt.Errorf("channel %q: %w", row.Name, err)
		}
		if a.channels[row.Name] != nil {
			return fmt.Errorf("two channels have the name %q", row.Name)
		}
		if other, taken := seqs[row.Seq]; taken {
			return fmt.Errorf("channels %q and %q both have the number %d", other, row.Name, row.Seq)
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
		a.channels[row.Name], seqs[row.Seq] = c, row.Name
		a.list = append(a.list, c)
	}
	slices.SortFunc(a.list, func(x, y *Channel) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

// addReleases gives each channel its releases and says which are live and
// which versions were taken back.
func (a *App) addReleases(rows []capstan.Release) error {
	rows = slices.SortedFunc(slices.Values(rows), func(x, y capstan.Release) int { return cmp.Compare(y.Number, x.Number) })
	walks := make(map[string]*capstan.LiveWalk, len(a.channels))
	for i, r := range rows {
		if i > 0 && rows[i-1].Number == r.Number {
			return fmt.Errorf("two releases have the number %d", r.Number)
		}
		if err := a.checkRelease(r); err != nil {
			return err
		}
		if walks[r.Channel] == nil {
			walks[r.Channel] = &capstan.LiveWalk{}
		}
		a.addRelease(r, walks[r.Channel])
	}
	for _, c := range a.list {
		for _, r := range c.releases {
			if r.live {
				delete(c.withdrawn, r.release.Version)
			}
		}
	}
	return nil
}

func (a *App) checkRelease(r capstan.Release) error {
	b := a.Bundles[r.Bundle]
	switch {
	case a.channels[r.Channel] == nil:
		return fmt.Errorf("release %d is on channel %q, which does not exist", r.Number, r.Channel)
	case b == nil && !r.Builtin():
		return fmt.Errorf("release %d has bundle %s, which does not exist", r.Number, r.Bundle)
	case b != nil && r.Version != b.Version, b == nil && r.Version != "":
		return fmt.Errorf("release %d is called version %q, which is not that of its bundle", r.Number, r.Version)
	case r.ShareBP < 0 || r.ShareBP > capstan.ShareAll:
		return fmt.Errorf("release %d has a share of %d basis points, which is not 0 to %d", r.Number, r.ShareBP, capstan.ShareAll)
	}
	return nil
}

// addRelease takes the releases of a channel newest first.
func (a *App) addRelease(r capstan.Release, walk *capstan.LiveWalk) {
	c, b := a.channels[r.Channel], a.Bundles[r.Bundle]
	if r.Ended() {
		if b != nil {
			c.withdrawn[b.Version] = true
		}
		return
	}
	var nativeMin map[capstan.Platform]string
	if b != nil {
		nativeMin = b.Bundle.NativeMin
	}
	c.releases = append(c.releases, &candidate{r, b, walk.Next(r, nativeMin)})
}
