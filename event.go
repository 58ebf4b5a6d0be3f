package capstan

import "time"

// Event is what a device reports to statsUrl (device-clients.md §5).
type Event struct {
	ID         string // UUIDv7 made at receipt; devices send none
	App        string
	Device     DeviceID
	Action     string // open list: unknown actions are kept
	Version    string // bundle the event is about, without the ":file" part
	File       string // of "version:file" names
	OldVersion string
	Platform   Platform
	Native     string // version_build
	Plugin     string
	Prod       bool
	Emulator   bool
	At         time.Time // device clock; zero when the device sent no timestamp
	ReceivedAt time.Time
	Metadata   string // JSON object of strings as sent, "" when none
}

// FailsBundle reports whether e says that e.Version could not be activated on
// the device: update_fail after an unconfirmed start, or Electron's set_fail.
func (e Event) FailsBundle() bool {
	return e.Action == "update_fail" || e.Action == "set_fail" && e.Platform == Electron
}
