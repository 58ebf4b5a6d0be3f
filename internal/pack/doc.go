// Package pack turns a folder into what a bundle is made of, and reads it back
// with distrust. It knows three forms: the manifest of the folder, one canonical
// zip, and brotli files for the contents that gain from it. It knows no server,
// no database and no HTTP.
//
// [Folder] walks, checks and hashes; the [Source] it returns makes the zip and
// the stored form of each content from the same files, and notices when they
// changed in between. [OpenArchive] accepts a zip only in the canonical form, so
// that every reader in the world sees the same files in it; [ExtractForeign]
// reads anybody's zip, into a folder from which it is packed again.
//
// The canonical zip, the only one that is ever served:
//
//	for each file, in ascending order of the bytes of its path:
//	  local header   30 bytes + path   PK\3\4, version 20, flags 0x0800 (UTF-8), method 0 or 8,
//	                                   time 0, date 1980-01-01, CRC-32, packed and plain size
//	  data           packed size       raw deflate, or the plain bytes
//	for each file, in the same order:
//	  central header 46 bytes + path   PK\1\2, made by 3.0 (Unix) version 20, the same values again,
//	                                   mode 0100644, offset of the local header
//	end record       22 bytes          PK\5\6, one disk, counts, size and offset of the central headers
//
// There is no gap, no prefix, nothing behind the end record, no comment, no
// extra field, no folder entry, no encryption, no zip64, and never a data
// descriptor: Java's ZipInputStream refuses one on a stored entry
// (device-clients.md §6.3).
//
// The subtle thing is that Android reads a zip by its local headers and
// everybody else by its central ones. A zip in which the two differ shows a
// scanner one content and a phone another, so the reader here compares every
// byte of both and trusts neither alone (security-reliability.md §0.5).
package pack
