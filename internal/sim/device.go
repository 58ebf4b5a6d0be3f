package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/capstan-ota/capstan"
)

// BrokenMark in a bundle's index.html makes the app in it never call
// notifyAppReady.
const BrokenMark = "data-capstan-broken"

// URLs are the three addresses in an app's configuration. An empty one
// switches its feature off (device-clients.md §1).
type URLs struct {
	Updates     string
	Stats       string
	ChannelSelf string
}

// At returns the addresses of a server that has the endpoints below base.
func At(base string) URLs {
	base = strings.TrimSuffix(base, "/")
	return URLs{Updates: base + "/updates", Stats: base + "/stats", ChannelSelf: base + "/channel_self"}
}

// Mode is the app's autoUpdate setting (device-clients.md §9.2).
type Mode string

const (
	AtBackground Mode = "atBackground" // the default
	Off          Mode = "off"
	AtInstall    Mode = "atInstall"
	OnLaunch     Mode = "onLaunch"
	Always       Mode = "always"
	OnlyDownload Mode = "onlyDownload"
)

// Options is what an app's developer configured, and the world that the device
// lives in. The zero value of each field is a usable default.
type Options struct {
	URLs
	AppID         string // "com.example.app" when empty
	DeviceID      string // UUID; made from Rand when empty
	NativeVersion string // version_build; "1.0.0" when empty
	Build         string // version_code; "1" when empty
	InstallSource string // store it came from, "" if unknown
	Prod          bool   // not a debug build
	Emulator      bool

	DefaultChannel string
	CustomID       string
	PublicKey      string // PEM, PKCS#1
	Mode           Mode

	KeepFailed      bool          // autoDeleteFailed: false
	KeepPrevious    bool          // autoDeletePrevious: false
	KeepOnUpdate    bool          // resetWhenUpdate: false
	AppReadyTimeout time.Duration // 10 s when 0, at least 1 s
	ResponseTimeout time.Duration // 20 s when 0

	Builtin map[string][]byte // web files of the store build, by path
	Dir     string            // keeps everything there over restarts of the program; in memory when empty

	Client *http.Client     // its transport is used, never its cookies; http.DefaultTransport when nil
	Now    func() time.Time // time.Now when nil
	Rand   func() uint64    // math/rand/v2 when nil

	// Works says whether the app in a bundle calls notifyAppReady in time; see
	// [BrokenMark] for the default. read returns a file of the bundle.
	Works func(b Bundle, read func(name string) ([]byte, error)) bool
	// BytesPerSecond is the speed of the network in virtual time; 0 is
	// unlimited. It is what lets iOS miss its 25 s.
	BytesPerSecond int64
	// Patience is the virtual time for which one call watches Android's
	// retrying worker; 2 minutes when 0.
	Patience time.Duration
}

// Status of a bundle on the device (device-clients.md §9.1).
type Status string

const (
	Downloading Status = "downloading"
	Pending     Status = "pending" // on disk, not confirmed
	Success     Status = "success" // called notifyAppReady
	Error       Status = "error"   // did not
)

// builtinID stands for the web content of the store build.
const builtinID = "builtin"

// Bundle is a record in the device's table.
type Bundle struct {
	ID       string `json:"id"` // random; "builtin" for the store build
	Version  string `json:"version"`
	Status   Status `json:"status"`
	Checksum string `json:"checksum"` // of the zip; "" for one that came by manifest
	Delta    bool   `json:"delta"`
}

// saved is what outlives the process.
type saved struct {
	Device   string
	Bundles  []Bundle
	Current  string // bundle ids
	Next     string // "" when nothing is staged
	Fallback string
	Channel  string // set by setChannel or getChannel; "" follows the configuration
	Queue    []json.RawMessage
	Work     *work // of Android's worker
	Partials map[string]time.Time

	Native, Build, OS string // as of the last launch
	Fresh             bool   // no check was made since the app was installed or updated
}

// process is what dies with it.
type process struct {
	running  bool
	started  time.Time
	ready    bool // notifyAppReady was called
	timedOut bool
	checked  bool
	progress bool // Android's progress marker was used (§5.4)
	latched  bool // an old plugin saw a 429
	limited  bool // rate_limit_reached was sent

	blockedUntil time.Time // 429 with Retry-After
	blockCode    string
	blockMessage string

	offered        []entry // manifest of the last offer, for ManifestSize
	offeredVersion string
}

// Device is one virtual installation. Its methods are not to be called
// concurrently.
type Device struct {
	profile Profile
	opt     Options
	can     traits
	key     *rsaKey
	disk    disk
	limits  limits
	native  struct{ version, build, os string }

	mu      sync.Mutex // guards skew, journal and saved.Partials, which parallel downloads share
	skew    time.Duration
	journal []Entry

	saved saved
	proc  process
}

// New returns a device that is installed and not yet launched; with a
// directory that holds one already, that one. Errors are an invalid public
// key, which crashes the real app at start, and a directory that cannot be
// used.
func New(profile Profile, opt Options) (*Device, error) {
	opt = withDefaults(opt)
	d := &Device{profile: profile, opt: opt, can: traitsOf(profile.Platform, profile.Plugin), limits: defaultLimits(), disk: memory{}}
	d.native.version, d.native.build, d.native.os = opt.NativeVersion, opt.Build, profile.OS
	if opt.PublicKey != "" && d.can.v2Key {
		key, err := parseKey(opt.PublicKey)
		if err != nil {
			return nil, capstan.Errorf(capstan.CodeInvalid, "read public key: %w", err).On("public_key")
		}
		d.key = key
	}
	if opt.Dir != "" {
		f, err := openFolder(opt.Dir)
		if err != nil {
			return nil, err
		}
		d.disk = f
	}
	return d, d.load()
}

func withDefaults(opt Options) Options {
	or := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	or(&opt.AppID, "com.example.app")
	or(&opt.NativeVersion, "1.0.0")
	or(&opt.Build, "1")
	or((*string)(&opt.Mode), string(AtBackground))
	if opt.Client == nil {
		opt.Client = &http.Client{}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Rand == nil {
		opt.Rand = rand.Uint64
	}
	if opt.AppReadyTimeout == 0 {
		opt.AppReadyTimeout = 10 * time.Second
	}
	opt.AppReadyTimeout = max(opt.AppReadyTimeout, time.Second)
	if opt.ResponseTimeout <= 0 {
		opt.ResponseTimeout = 20 * time.Second
	}
	if opt.Patience == 0 {
		opt.Patience = 2 * time.Minute
	}
	if opt.Works == nil {
		opt.Works = worksByMark
	}
	return opt
}

func worksByMark(_ Bundle, read func(string) ([]byte, error)) bool {
	index, err := read("index.html")
	return err == nil && !strings.Contains(string(index), BrokenMark)
}

// load reads the state that an earlier program left, or starts anew.
func (d *Device) load() error {
	data, err := d.disk.read(stateName)
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &d.saved); err != nil {
			return fmt.Errorf("read device state: %w", err)
		}
	case errors.Is(err, fs.ErrNotExist):
		d.saved = saved{
			Current: builtinID, Fallback: builtinID, Device: d.opt.DeviceID, Fresh: true,
			Native: d.native.version, Build: d.native.build, OS: d.native.os,
		}
	default:
		return fmt.Errorf("read device state: %w", err)
	}
	if d.saved.Device == "" {
		d.saved.Device = d.uuid()
	}
	if d.saved.Partials == nil {
		d.saved.Partials = map[string]time.Time{}
	}
	if _, ok := capstan.ParseDeviceID(d.saved.Device); !ok {
		return capstan.Errorf(capstan.CodeInvalid, "device id %q is not a UUID", d.saved.Device).On("device")
	}
	return nil
}

// save keeps the state when there is a directory to keep it in.
func (d *Device) save() error {
	if d.opt.Dir == "" {
		return nil
	}
	data, err := json.Marshal(d.saved)
	if err == nil {
		err = d.disk.write(stateName, data)
	}
	if err != nil {
		return fmt.Errorf("save device state: %w", err)
	}
	return nil
}

// uuid returns a random version 4 UUID in lower case.
func (d *Device) uuid() string {
	var id capstan.DeviceID
	hi, lo := d.opt.Rand(), d.opt.Rand()
	for i := range 8 {
		id[i], id[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// newID returns a bundle id as the platform makes them (§6.1).
func (d *Device) newID() string {
	if d.profile.Platform == capstan.Electron {
		return fmt.Sprintf("%016x%016x", d.opt.Rand(), d.opt.Rand())
	}
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := make([]byte, 10)
	for i := range id {
		id[i] = letters[d.opt.Rand()%uint64(len(letters))]
	}
	return string(id)
}

// now is the device's clock.
func (d *Device) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opt.Now().Add(d.skew)
}

// pass moves the device's clock.
func (d *Device) pass(t time.Duration) {
	d.mu.Lock()
	d.skew += t
	d.mu.Unlock()
}

// Wait moves the device's clock by t and runs Android's worker when it is due.
func (d *Device) Wait(ctx context.Context, t time.Duration) (Report, error) {
	return d.report(ctx, func() (Outcome, string, string, error) {
		end := d.now().Add(t)
		outcome, version, detail, err := d.resumeUntil(ctx, end)
		if rest := end.Sub(d.now()); rest > 0 {
			d.pass(rest)
		}
		return outcome, version, detail, err
	})
}

// report runs f and wraps up what happened.
func (d *Device) report(ctx context.Context, f func() (Outcome, string, string, error)) (Report, error) {
	from := d.mark()
	outcome, version, detail, err := f()
	if err == nil {
		err = ctx.Err()
	}
	if saveErr := d.save(); err == nil {
		err = saveErr
	}
	return Report{
		Outcome: outcome, Detail: detail, Version: version,
		Running: d.current().Version, Entries: d.since(from),
	}, err
}

// State is what the device knows about itself.
type State struct {
	Profile  string    `json:"profile"`
	Device   string    `json:"device"`
	App      string    `json:"app"`
	Native   string    `json:"native"`
	Build    string    `json:"build"`
	Channel  string    `json:"channel"` // what it sends as defaultChannel
	Current  Bundle    `json:"current"`
	Next     *Bundle   `json:"next,omitempty"`
	Fallback Bundle    `json:"fallback"`
	Bundles  []Bundle  `json:"bundles"`
	Queued   int       `json:"queued"` // statistics that wait
	Retrying bool      `json:"retrying,omitempty"`
	Blocked  time.Time `json:"blocked_until,omitzero"`
	Latched  bool      `json:"latched,omitempty"`
	Clock    time.Time `json:"clock"`
}

// State returns the device's present state.
func (d *Device) State() State {
	s := State{
		Profile: d.profile.String(), Device: d.saved.Device, App: d.opt.AppID,
		Native: d.native.version, Build: d.native.build, Channel: d.channel(),
		Current: d.current(), Fallback: d.bundle(d.saved.Fallback),
		Bundles: append([]Bundle{}, d.saved.Bundles...), Queued: len(d.saved.Queue),
		Retrying: d.saved.Work != nil, Blocked: d.proc.blockedUntil, Latched: d.proc.latched, Clock: d.now(),
	}
	if d.saved.Next != "" {
		next := d.bundle(d.saved.Next)
		s.Next = &next
	}
	return s
}

// Content returns the files of the bundle that runs, by path.
func (d *Device) Content() (map[string][]byte, error) {
	if d.saved.Current == builtinID {
		return d.opt.Builtin, nil
	}
	files := map[string][]byte{}
	for _, name := range d.disk.list(bundleName(d.saved.Current, "")) {
		data, err := d.disk.read(bundleName(d.saved.Current, name))
		if err != nil {
			return nil, fmt.Errorf("read file %s of the running bundle: %w", name, err)
		}
		files[name] = data
	}
	return files, nil
}

// builtinVersion is the name of the store build's content (§2.1).
func (d *Device) builtinVersion() string {
	if d.can.builtinNative {
		return d.native.version
	}
	return "builtin"
}

func (d *Device) builtinBundle() Bundle {
	return Bundle{ID: builtinID, Version: d.builtinVersion(), Status: Success}
}

// bundle returns the record of id; an unknown one is the store build.
func (d *Device) bundle(id string) Bundle {
	for _, b := range d.saved.Bundles {
		if b.ID == id {
			return b
		}
	}
	return d.builtinBundle()
}

func (d *Device) current() Bundle { return d.bundle(d.saved.Current) }

// named returns the newest record with the given version.
func (d *Device) named(version string) (Bundle, bool) {
	for _, v := range slices.Backward(d.saved.Bundles) {
		if v.Version == version {
			return v, true
		}
	}
	return Bundle{}, false
}

// put adds or replaces a record.
func (d *Device) put(b Bundle) {
	for i := range d.saved.Bundles {
		if d.saved.Bundles[i].ID == b.ID {
			d.saved.Bundles[i] = b
			return
		}
	}
	d.saved.Bundles = append(d.saved.Bundles, b)
}

// forget removes a record with its files, without a word.
func (d *Device) forget(id string) error {
	for i := range d.saved.Bundles {
		if d.saved.Bundles[i].ID == id {
			d.saved.Bundles = append(d.saved.Bundles[:i:i], d.saved.Bundles[i+1:]...)
			break
		}
	}
	return errors.Join(d.disk.remove(bundleName(id, "")), d.disk.remove(tempName(id)))
}
