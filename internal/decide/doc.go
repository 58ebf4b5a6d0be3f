// Package decide answers one question: what does this device get now? Decide
// is a pure function of a compiled snapshot of one app, the overlay of one
// device, and its query; it does no I/O, reads no clock and draws no lots.
// Time is a field of the query, set once at the edge.
//
// The server, `capstan why`, the simulator and the tests all call the same
// function. Explain walks the same gates and keeps the trace.
//
// The package knows rules and releases. It refuses to know plugin versions,
// JSON, URLs and databases.
package decide
