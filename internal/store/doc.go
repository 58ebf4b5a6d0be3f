// Package store keeps the rows: rows in, rows out, on SQLite and PostgreSQL
// from the same SQL text.
//
// It knows tables, transactions, the change table and what holds a blob's
// bytes. It refuses to know the bytes themselves, HTTP, who may do what, and
// what a device is told; it reads no clock besides Options.Now.
//
// The subtle thing is the change number. A transaction takes it as its last
// act, from the one counter row, whose lock it then holds until commit. So the
// order of commits is the order of numbers and a rolled-back transaction takes
// none: a follower that has seen number n has seen everything up to n.
//
// Two transactions about one app follow each other: whatever reads rows
// through a [Tx] locks the app's row first. That is what makes
// compare-and-set, release numbers and the default mark of channels safe on
// PostgreSQL at READ COMMITTED; on SQLite there is one writer anyway.
//
// What devices write (last seen, events, failed bundles, self-set pins) is no
// change and takes no number.
package store
