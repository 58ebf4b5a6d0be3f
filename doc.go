// Package capstan is the domain of Capstan, a self-hosted live-update server
// for Capacitor and Electron apps: its nouns, their validation, and the two
// tables of codes that people and devices see, errors ([Error]) and reasons
// ([Reason]).
//
// A developer publishes a [Bundle], immutable web content under a version
// name whose identity is the root of its [Manifest]. Putting it on a
// [Channel] makes a numbered [Release], which is never edited, only
// superseded, paused or ended. A [Device] asks with a query and gets a
// decision with a reason; both live in internal/decide. What a device reports
// is an [Event]. Every mutation is a numbered [Change].
//
// The package imports nothing but the standard library and does no I/O, so
// that every other package may import it.
package capstan
