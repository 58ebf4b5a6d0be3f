// Package capgo speaks the device protocol of the unmodified Capgo plugins:
// the update check, statistics and channel endpoints of
// @capgo/capacitor-updater (Android, iOS) and @capgo/electron-updater.
//
// It knows shapes, codes, how to normalise what devices send, and what each
// plugin version can read (the table in plugin.go). It decides nothing: every
// answer is a decide.Decision, translated in reason.go.
//
// The subtle thing is what clients do with an answer that looks harmless: an
// "error" key that is null breaks Android, a message beside an offer breaks
// JavaScript callers, an empty 200 makes iOS resend for ever, and a 429 makes
// old plugins deaf until they restart. docs/protocol.md has the contract.
package capgo
