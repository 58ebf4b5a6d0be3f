// Package cli is the command line: one file per command, each with its options,
// its flags and a run function. It knows the developer's side (folder, config,
// login file, terminal) and talks to a server only through package client; the
// server itself is imported for `serve` alone.
//
// The rules of every command:
//
//   - stdout carries the result and nothing else. With --json it is exactly one
//     JSON document, {"error":{…}} when the command failed.
//   - Notes, warnings, questions, progress and errors go to stderr. Progress and
//     questions need a terminal; in a pipe a command that would have to ask
//     fails with code ambiguous or confirm and names the flag that answers.
//   - The exit code is that of the error's [capstan.Code].
//   - An error names its code, the request id, and commands that mend it.
//
// The subtle thing is secrets. A token is read from a file, the environment or
// the login file, is checked for its form before it is sent, and is sent only to
// the server that it was stored for; tokens of Capgo are recognised, named and
// sent nowhere. Code that runs to read a config does not see CAPSTAN_TOKEN.
package cli
