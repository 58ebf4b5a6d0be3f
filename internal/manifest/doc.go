// Package manifest gives a bundle its identity. It knows the canonical text of
// a manifest, its root, the difference of two manifests, the rules a file name
// must keep to be installable on every device, and the limits of sizes and
// counts. It refuses to know where the files come from and how they are stored.
//
// The canonical text is what is hashed and, later, signed:
//
//	capstan manifest v1\n
//	<sha-256, 64 lower-case hex> SP <size, decimal> SP <path> \n
//	…
//
// Lines stand in ascending order of the bytes of the path. There is no escaping,
// since no accepted path holds a control character; a path may hold spaces, so
// it comes last. Two lists of files have the same text exactly when they are
// the same files, and the root is the SHA-256 of that text.
//
// The subtle thing is that a name must mean the same file on four file systems.
// Names are NFC on the wire, and two of them clash when they are equal after
// Unicode case folding, even though a case-sensitive phone could hold both:
// the next device, or a developer's Mac, could not.
package manifest
