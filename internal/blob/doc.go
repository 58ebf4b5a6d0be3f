// Package blob keeps bytes under the SHA-256 of those bytes. It knows digests,
// sizes and ranges; it does not know bundles, organisations, encodings or who
// may read: rows in the store say which blob belongs to what, and a blob that
// no row names is garbage.
//
// [Store] is the seam. Package disk keeps files, package mem keeps slices for
// tests, and blobtest.Run is the suite that every implementation passes.
// [Handler] serves a store to devices.
//
// # Key layout
//
// Every implementation that has names uses this one, and [Key] is the only
// code that makes it:
//
//	<root>/
//	├── tmp/
//	│   └── <digest>.<n>      a blob being written; never listed, never served
//	├── 00/ … ff/             first two hex digits of the digest
//	│   └── 00/ … ff/         next two
//	│       └── <digest>      the bytes, complete and synced; never changed
//	└── (nothing else)
//
// Two levels keep a directory below a few hundred names up to ten million
// blobs. The full digest is repeated in the file name, so that a file says what
// it must contain wherever it is found: `sha256sum` checks a whole store.
//
// The subtle thing is when a blob counts. A name may be visible before it is
// durable, so seeing a blob (by Stat, Open or List) is no promise; a Put that
// returned nil is. Whoever writes a row that names a blob does so after Put.
package blob
