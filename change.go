package capstan

import "time"

// Noun names a kind of row in the change table.
type Noun string

const (
	NounApp     Noun = "app"
	NounBundle  Noun = "bundle"
	NounChannel Noun = "channel"
	NounRelease Noun = "release"
	NounPin     Noun = "pin"
	NounToken   Noun = "token"
)

// Change is one numbered mutation, written in the transaction of the mutation
// itself. Numbers are without gaps and in commit order: they are what
// followers wait for, what If-Match compares and what history shows. What
// devices write is not a change.
type Change struct {
	Number int64
	App    string // "" for what belongs to no app
	At     time.Time
	Actor  string // token id, or "system"
	Noun   Noun
	ID     string // of the row, within its app
	Before string // JSON of the row before, "" when it was made
	After  string // JSON of the row after, "" when it was deleted
}
