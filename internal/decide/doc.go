// Package decide answers one question: what does this device get now? Decide
// is a pure function of a compiled snapshot of one app, the overlay of one
// device, and its query; it does no I/O, reads no clock and draws no lots.
// Time is a field of the query, set once at the edge.
//
// The server, `capstan why`, the simulator and the tests all call the same
// function. Explain walks the same gates and keeps the trace.
//
// A walk goes plugin → channel → release → gates → offer. The subtle thing is
// that the release is chosen before the gates are asked: only native range,
// rollout and earlier failures make the walk pass over a release, and a policy
// that refuses the chosen one does not bring back an older one. Where every
// release is passed over, the newest is walked all the same, and what spoke
// against it refuses at its place among the gates, so that the order of
// decisions.md §1.1 holds. One thing comes after a refusal: a device that runs
// what was taken back is never told to stay there.
//
// The package knows rules and releases. It refuses to know plugin versions,
// JSON, URLs and databases.
package decide
