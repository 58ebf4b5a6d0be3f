package native

import "errors"

// Format is a kind of archive or compressed file inside a bundle.
type Format string

const (
	Zip      Format = "zip"
	Gzip     Format = "gzip"
	XZ       Format = "xz"
	Zstd     Format = "zstd"
	Tar      Format = "tar"
	Br       Format = "br" // has no magic number: known by the name alone
	SevenZip Format = "7z"
)

// MaxDepth is how many archives inside one another are opened; a third one is
// blocked unopened.
const MaxDepth = 2

// Expand opens content of a format and calls visit for each file inside, in
// order. A format that holds a single file (gzip, xz, zstd, br) calls it once,
// with an empty name. It returns [ErrUnopenable] when the content cannot be
// read to its end (another format, encrypted, damaged) and [ErrTooMuch] when it
// would go beyond its budget; an error of visit is returned as it is.
type Expand func(f Format, c Content, visit func(name string, c Content) error) error

var (
	// ErrUnopenable: nobody can say what the archive holds.
	ErrUnopenable = errors.New("the archive cannot be opened")
	// ErrTooMuch: the archive unpacks to more than is looked into.
	ErrTooMuch = errors.New("the archive unpacks to too much")
)
