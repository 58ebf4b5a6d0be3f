package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan"
)

const deviceColumns = `d.app, d.device, d.platform, d.custom_id, d.native_version, d.native_build, d.os_version,
	d.plugin_version, d.install_source, d.channel, d.key_id, d.prod, d.emulator,
	d.offered, d.offered_release, d.offered_at, d.reason, d.first_seen, s.at, s.running`

const (
	deviceFrom = ` FROM device d JOIN seen s ON s.app = d.app AND s.device = d.device `

	deviceSQL = `SELECT ` + deviceColumns + deviceFrom + `WHERE d.app = $1 AND d.device = $2`
	// The inner LIMIT bounds the work for a custom id that every device has, and
	// keeps SQLite from joining first, by which it would walk all of the app.
	deviceByCustomSQL = `SELECT ` + deviceColumns + ` FROM (SELECT app, device FROM device
			WHERE app = $1 AND custom_id = $2 AND custom_id <> '' LIMIT 1000) n
		JOIN device d ON d.app = n.app AND d.device = n.device
		JOIN seen s ON s.app = n.app AND s.device = n.device
		ORDER BY s.at DESC, d.device LIMIT 1`
	devicesSQL = `SELECT ` + deviceColumns + deviceFrom +
		`WHERE d.app = $1 AND (d.last_day, d.device) < ($2, $3) ORDER BY d.last_day DESC, d.device DESC LIMIT $4`
	onChannelSQL = `SELECT COUNT(*) FROM device WHERE app = $1 AND channel = $2 AND channel <> ''`
	wordsSQL     = `SELECT device, words FROM seen WHERE app = $1 AND device IN (%s)`
	appsInSQL    = `SELECT id, org FROM app WHERE id IN (%s)`
)

func scanDevice(s scanner) (d capstan.Device, err error) {
	var id []byte
	var offered, first, last int64
	err = s.Scan(&d.App, &id, &d.Platform, &d.CustomID, &d.NativeVersion, &d.NativeBuild, &d.OSVersion,
		&d.PluginVersion, &d.InstallSource, &d.Channel, &d.KeyID, &d.Prod, &d.Emulator,
		&d.Offered, &d.OfferedRelease, &offered, &d.Reason, &first, &last, &d.Running)
	copy(d.ID[:], id)
	d.OfferedAt, d.FirstSeen, d.LastSeen = fromMS(offered), fromMS(first), fromMS(last)
	return d, err
}

// DeviceFilter pages devices: those seen on the most recent day (UTC) first,
// within a day by id, downwards. A finer order would need an index that every
// check writes to.
type DeviceFilter struct {
	After string // cursor that Devices returned, "" for the first page
	Limit int    // 0: 100, at most 1000
}

// Devices returns one page of an app's devices, and the cursor of the next
// page, "" when this is the last. Error: invalid for a cursor that is not one
// of ours.
func (db *DB) Devices(ctx context.Context, app string, f DeviceFilter) (devices []capstan.Device, next string, err error) {
	day, id := int64(newestNumberCap), capstan.DeviceID{}
	if f.After != "" {
		if day, id, err = parseDeviceCursor(f.After); err != nil {
			return nil, "", err
		}
	}
	n := limit(f.Limit)
	devices, err = collect(ctx, db.reader, scanDevice, devicesSQL, app, day, id[:], n+1)
	if err != nil {
		return nil, "", db.fail("read devices of "+app, err)
	}
	if len(devices) > n {
		devices = devices[:n]
		last := devices[n-1]
		next = strconv.FormatInt(ms(last.LastSeen)/dayMS, 10) + "." + hex.EncodeToString(last.ID[:])
	}
	return devices, next, nil
}

func parseDeviceCursor(s string) (day int64, id capstan.DeviceID, err error) {
	dayText, idText, _ := strings.Cut(s, ".")
	day, err = strconv.ParseInt(dayText, 10, 64)
	b, hexErr := hex.DecodeString(idText)
	if err != nil || hexErr != nil || len(b) != len(id) {
		return 0, id, capstan.Errorf(capstan.CodeInvalid, "page cursor %.80q is not one that a list of devices gave", s).On("after")
	}
	return day, capstan.DeviceID(b), nil
}

// Device finds a device by id or, when key is no UUID or no device has it, by
// custom id; of several with one custom id it returns the one seen last.
// Error: device_not_found.
func (db *DB) Device(ctx context.Context, app, key string) (capstan.Device, error) {
	var found []capstan.Device
	var err error
	if id, ok := capstan.ParseDeviceID(key); ok {
		found, err = collect(ctx, db.reader, scanDevice, deviceSQL, app, id[:])
	}
	if err == nil && len(found) == 0 {
		found, err = collect(ctx, db.reader, scanDevice, deviceByCustomSQL, app, key)
	}
	if err != nil {
		return capstan.Device{}, db.fail("read a device", err)
	}
	if len(found) == 0 {
		return capstan.Device{}, capstan.Errorf(capstan.CodeDeviceNotFound, "no device %.80q has asked for app %q", key, app).On("device").
			Hint("capstan device list")
	}
	return found[0], nil
}

// CountDevicesOnChannelName counts the devices of an app that sent name as
// their defaultChannel when they last asked.
func (db *DB) CountDevicesOnChannelName(ctx context.Context, app, name string) (n int64, err error) {
	err = db.reader.QueryRowContext(ctx, onChannelSQL, app, name).Scan(&n)
	return n, db.fail("count devices on channel "+name, err)
}

// Sighting is one update check as it is written: Device says who asked, what
// it runs and how it describes itself, at Device.LastSeen.
type Sighting struct {
	Device capstan.Device
	// Offered says that Device.Offered and OfferedRelease are what this check
	// offered; otherwise the stored offer stays, since it may be on its way.
	Offered bool
}

// WriteSightings writes a batch in one transaction; it is no change. Of
// several sightings of a device the last counts, with the last offer among
// them. Sightings of apps that do not exist are left out. The row of what a
// device says about itself is written only where it differs; its OfferedAt is
// when this offer was first made.
func (db *DB) WriteSightings(ctx context.Context, batch []Sighting) error {
	if len(batch) == 0 {
		return nil
	}
	batch = mergeSightings(batch)
	return db.transact(ctx, "write sightings", func(tx *sql.Tx) error {
		known, orgs, err := knownApps(ctx, tx, batch)
		if err != nil || len(known) == 0 {
			return err
		}
		words := make([]int64, len(known))
		for i := range known {
			words[i] = known[i].words()
		}
		news, err := differing(ctx, tx, known, words)
		if err != nil {
			return err
		}
		if err := db.dialect.insertMany(ctx, tx, seenRows(known, words)); err != nil {
			return err
		}
		if len(news) == 0 {
			return nil
		}
		return db.dialect.insertMany(ctx, tx, deviceRows(news, orgs))
	})
}

// words is a hash of everything in s that the wide row keeps. It stands in the
// narrow row, which is read and written anyhow: a device that says what it
// said before costs no look at its wide row, which is four times as many
// sightings a second. FNV-1a; a device that makes two of its own sightings
// collide keeps one of its own rows stale, and no one else's.
func (s *Sighting) words() int64 {
	d := &s.Device
	h := uint64(14695981039346656037)
	mix := func(text string) {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // no byte of UTF-8: keeps fields apart
	}
	number := func(n int64) {
		for range 8 {
			h = (h ^ uint64(n&0xff)) * 1099511628211
			n >>= 8
		}
	}
	for _, text := range [...]string{
		string(d.Platform), d.CustomID, d.NativeVersion, d.NativeBuild, d.OSVersion, d.PluginVersion,
		d.InstallSource, d.Channel, d.KeyID, string(d.Reason),
	} {
		mix(text)
	}
	for _, b := range [...]bool{d.Prod, d.Emulator, s.Offered} {
		if b {
			number(1)
		} else {
			number(0)
		}
	}
	number(ms(d.LastSeen) / dayMS)
	if s.Offered {
		mix(d.Offered)
		number(d.OfferedRelease)
	}
	return int64(h)
}

// differing returns the sightings whose words are not those of the last
// sighting of the same device.
func differing(ctx context.Context, tx *sql.Tx, batch []Sighting, words []int64) (news []Sighting, err error) {
	for first := 0; first < len(batch); {
		app, end := batch[first].Device.App, first
		var ids []string
		for ; end < len(batch) && batch[end].Device.App == app; end++ {
			ids = append(ids, string(batch[end].Device.ID[:]))
		}
		last := make(map[string]int64, len(ids))
		err := chunks(ids, 2, func(list string, args []any) error {
			for i, id := range args {
				args[i] = []byte(id.(string))
			}
			return readWords(ctx, tx, last, fmt.Sprintf(wordsSQL, list), append([]any{app}, args...))
		})
		if err != nil {
			return nil, err
		}
		for i, id := range ids {
			if old, known := last[id]; !known || old != words[first+i] {
				news = append(news, batch[first+i])
			}
		}
		first = end
	}
	return news, nil
}

func readWords(ctx context.Context, tx *sql.Tx, into map[string]int64, query string, args []any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var device sql.RawBytes
		var words int64
		if err := rows.Scan(&device, &words); err != nil {
			return err
		}
		into[string(device)] = words
	}
	return rows.Err()
}

// mergeSightings leaves one sighting per device, sorted by key: rows in key
// order touch each page once, and in one order for all writers, which keeps
// PostgreSQL from deadlocks.
func mergeSightings(batch []Sighting) []Sighting {
	sorted := slices.Clone(batch)
	slices.SortStableFunc(sorted, func(a, b Sighting) int {
		if c := strings.Compare(a.Device.App, b.Device.App); c != 0 {
			return c
		}
		return bytes.Compare(a.Device.ID[:], b.Device.ID[:])
	})
	merged := sorted[:0]
	for _, s := range sorted {
		last := len(merged) - 1
		if last < 0 || merged[last].Device.App != s.Device.App || merged[last].Device.ID != s.Device.ID {
			merged = append(merged, s)
			continue
		}
		if old := merged[last]; old.Offered && !s.Offered {
			s.Offered = true
			s.Device.Offered, s.Device.OfferedRelease, s.Device.OfferedAt = old.Device.Offered, old.Device.OfferedRelease, offeredAt(old)
		}
		merged[last] = s
	}
	return merged
}

func offeredAt(s Sighting) time.Time {
	if s.Device.OfferedAt.IsZero() {
		return s.Device.LastSeen
	}
	return s.Device.OfferedAt
}

// knownApps returns the sightings of apps that exist and the organisations of
// these apps.
func knownApps(ctx context.Context, tx *sql.Tx, batch []Sighting) (known []Sighting, orgs map[string]string, err error) {
	var ids []string
	for i, s := range batch {
		if i == 0 || s.Device.App != batch[i-1].Device.App {
			ids = append(ids, s.Device.App)
		}
	}
	orgs = map[string]string{}
	err = chunks(ids, 1, func(list string, args []any) error {
		rows, err := tx.QueryContext(ctx, fmt.Sprintf(appsInSQL, list), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, org string
			if err := rows.Scan(&id, &org); err != nil {
				return err
			}
			orgs[id] = org
		}
		return rows.Err()
	})
	for _, s := range batch {
		if _, ok := orgs[s.Device.App]; ok {
			known = append(known, s)
		}
	}
	return known, orgs, err
}

func seenRows(batch []Sighting, words []int64) bulk {
	n := len(batch)
	app, running, device, at := make([]string, n), make([]string, n), make([][]byte, n), make([]int64, n)
	for i := range batch {
		d := &batch[i].Device
		app[i], device[i], at[i], running[i] = d.App, d.ID[:], ms(d.LastSeen), d.Running
	}
	return bulk{table: "seen", columns: []column{
		{name: "app", texts: app}, {name: "device", bytes: device}, {name: "at", ints: at}, {name: "running", texts: running},
		{name: "words", ints: words},
	}, conflict: `ON CONFLICT (app, device) DO UPDATE SET at = excluded.at, running = excluded.running, words = excluded.words
		WHERE excluded.at >= seen.at`}
}

// deviceConflict keeps the stored offer where the sighting has none, which it
// says by offered_at = 0, and leaves the row alone where nothing differs.
const deviceConflict = `ON CONFLICT (app, device) DO UPDATE SET
		platform = excluded.platform, custom_id = excluded.custom_id, native_version = excluded.native_version,
		native_build = excluded.native_build, os_version = excluded.os_version, plugin_version = excluded.plugin_version,
		install_source = excluded.install_source, channel = excluded.channel, key_id = excluded.key_id,
		prod = excluded.prod, emulator = excluded.emulator, reason = excluded.reason, last_day = excluded.last_day,
		offered = CASE WHEN excluded.offered_at > 0 THEN excluded.offered ELSE device.offered END,
		offered_release = CASE WHEN excluded.offered_at > 0 THEN excluded.offered_release ELSE device.offered_release END,
		offered_at = CASE WHEN excluded.offered_at > 0 AND (device.offered <> excluded.offered OR device.offered_release <> excluded.offered_release)
			THEN excluded.offered_at ELSE device.offered_at END
	WHERE excluded.last_day >= device.last_day AND (
		device.last_day IS DISTINCT FROM excluded.last_day
		OR device.reason IS DISTINCT FROM excluded.reason
		OR device.native_version IS DISTINCT FROM excluded.native_version
		OR device.channel IS DISTINCT FROM excluded.channel
		OR device.custom_id IS DISTINCT FROM excluded.custom_id
		OR device.platform IS DISTINCT FROM excluded.platform
		OR device.native_build IS DISTINCT FROM excluded.native_build
		OR device.os_version IS DISTINCT FROM excluded.os_version
		OR device.plugin_version IS DISTINCT FROM excluded.plugin_version
		OR device.install_source IS DISTINCT FROM excluded.install_source
		OR device.key_id IS DISTINCT FROM excluded.key_id
		OR device.prod IS DISTINCT FROM excluded.prod
		OR device.emulator IS DISTINCT FROM excluded.emulator
		OR excluded.offered_at > 0 AND (device.offered <> excluded.offered OR device.offered_release <> excluded.offered_release))`

func deviceRows(batch []Sighting, orgs map[string]string) bulk {
	texts := func(get func(d *capstan.Device) string) []string {
		list := make([]string, len(batch))
		for i := range batch {
			list[i] = get(&batch[i].Device)
		}
		return list
	}
	n := len(batch)
	device, prod, emulator := make([][]byte, n), make([]bool, n), make([]bool, n)
	first, day, offeredMS, release, offered := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]string, n)
	for i := range batch {
		d := &batch[i].Device
		device[i], prod[i], emulator[i] = d.ID[:], d.Prod, d.Emulator
		first[i], day[i] = ms(d.LastSeen), ms(d.LastSeen)/dayMS
		if batch[i].Offered {
			offered[i], release[i], offeredMS[i] = d.Offered, d.OfferedRelease, ms(offeredAt(batch[i]))
		}
	}
	return bulk{table: "device", columns: []column{
		{name: "app", texts: texts(func(d *capstan.Device) string { return d.App })},
		{name: "device", bytes: device},
		{name: "org", texts: texts(func(d *capstan.Device) string { return orgs[d.App] })},
		{name: "platform", texts: texts(func(d *capstan.Device) string { return string(d.Platform) })},
		{name: "custom_id", texts: texts(func(d *capstan.Device) string { return d.CustomID })},
		{name: "native_version", texts: texts(func(d *capstan.Device) string { return d.NativeVersion })},
		{name: "native_build", texts: texts(func(d *capstan.Device) string { return d.NativeBuild })},
		{name: "os_version", texts: texts(func(d *capstan.Device) string { return d.OSVersion })},
		{name: "plugin_version", texts: texts(func(d *capstan.Device) string { return d.PluginVersion })},
		{name: "install_source", texts: texts(func(d *capstan.Device) string { return d.InstallSource })},
		{name: "channel", texts: texts(func(d *capstan.Device) string { return d.Channel })},
		{name: "key_id", texts: texts(func(d *capstan.Device) string { return d.KeyID })},
		{name: "prod", bools: prod}, {name: "emulator", bools: emulator},
		{name: "offered", texts: offered}, {name: "offered_release", ints: release}, {name: "offered_at", ints: offeredMS},
		{name: "reason", texts: texts(func(d *capstan.Device) string { return string(d.Reason) })},
		{name: "first_seen", ints: first}, {name: "last_day", ints: day},
	}, conflict: deviceConflict}
}
