// Package term talks to people at a terminal: tables, colours, one progress
// line, questions. It refuses to know what it draws.
//
// Its rules are those of every command: Out carries the result and nothing
// else; progress, notes and questions go to Err, so that a pipe behind Out sees
// the result alone. Progress is drawn on a terminal only and vanishes when it is
// finished; into a pipe not a byte of it is written. Nothing that came from
// elsewhere (a file name, a server's message) reaches a terminal with its
// control characters: a name could otherwise move the cursor and rewrite what
// people read. That is the subtle thing, and [Clean] is where it happens.
package term
