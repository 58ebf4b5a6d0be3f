package capstan

import (
	"errors"
	"fmt"
)

// Code is the stable name of an error. Machines branch on it; its page under
// docs/errors.md is generated from [Codes].
type Code string

const (
	CodeInvalid         Code = "invalid"
	CodeUnauthorized    Code = "unauthorized"
	CodeForbidden       Code = "forbidden"
	CodeAppNotFound     Code = "app_not_found"
	CodeBundleNotFound  Code = "bundle_not_found"
	CodeChannelNotFound Code = "channel_not_found"
	CodeReleaseNotFound Code = "release_not_found"
	CodeDeviceNotFound  Code = "device_not_found"
	CodeNotFound        Code = "not_found"
	CodeMethod          Code = "method_not_allowed"
	CodeAppExists       Code = "app_exists"
	CodeChannelExists   Code = "channel_exists"
	CodeVersionExists   Code = "version_exists"
	CodeInUse           Code = "in_use"
	CodeConfirm         Code = "confirm"
	CodeStale           Code = "stale"
	CodeNoPrecondition  Code = "precondition_required"
	CodeTooLarge        Code = "too_large"
	CodeTooSlow         Code = "too_slow"
	CodeDigestMismatch  Code = "digest_mismatch"
	CodeBlobMissing     Code = "blob_missing"
	CodeArchiveUnsafe   Code = "archive_unsafe"
	CodeContentMismatch Code = "content_mismatch"
	CodePathRefused     Code = "path_refused"
	CodeNoIndex         Code = "no_index"
	CodeNoNotify        Code = "no_notify_app_ready"
	CodeNativeCode      Code = "native_code"
	CodeBytesGone       Code = "bytes_gone"
	CodeNothingEarlier  Code = "nothing_earlier"
	CodeFolder          Code = "folder"
	CodeFileChanged     Code = "file_changed"
	CodeConfig          Code = "config"
	CodeNoServer        Code = "no_server"
	CodeUnreachable     Code = "unreachable"
	CodeForeignToken    Code = "foreign_token"
	CodeAmbiguous       Code = "ambiguous"
	CodeStorageFull     Code = "storage_full"
	CodeUnavailable     Code = "unavailable"
	CodeInterrupted     Code = "interrupted"
	CodeInternal        Code = "internal"
)

// CodeEntry documents one code.
type CodeEntry struct {
	Code   Code
	Status int    // HTTP status on /v1; 0 for codes that only the CLI raises
	Exit   int    // exit code of the CLI
	Means  string // one sentence
	Fix    string // one sentence
}

// Exit codes of the CLI, by class.
const (
	ExitError     = 1 // anything without a class of its own
	ExitUsage     = 2 // wrong arguments or wrong input
	ExitAuth      = 3 // no token, wrong token, not allowed
	ExitNotFound  = 4 // the named thing does not exist
	ExitConflict  = 5 // exists with other content, stale, or in use
	ExitRefused   = 6 // the bundle was refused: native code, unsafe path, missing file
	ExitUnreached = 7 // the server could not be reached, is full or is not available

	ExitInterrupted = 130 // stopped by a signal, as shells count it
)

// Codes is the table from which HTTP status, exit code and documentation of
// every error come.
var Codes = []CodeEntry{
	{CodeInvalid, 422, ExitUsage, "A value has the wrong form.", "The message names the field and the form it must have."},
	{CodeUnauthorized, 401, ExitAuth, "There is no token, or the server does not know it.", "Run `capstan login` with a token of this server."},
	{CodeForbidden, 403, ExitAuth, "The token is known but may not do this.", "Use a token with the scope that the message names."},
	{CodeAppNotFound, 404, ExitNotFound, "The server has no app with this id.", "Run `capstan app add` once, or check the id with `capstan app list`."},
	{CodeBundleNotFound, 404, ExitNotFound, "The app has no bundle with this version.", "See `capstan bundle list`."},
	{CodeChannelNotFound, 404, ExitNotFound, "The app has no channel with this name.", "See `capstan channel list`, or make it with `capstan channel add`."},
	{CodeReleaseNotFound, 404, ExitNotFound, "The app has no release with this number.", "See `capstan channel show`."},
	{CodeDeviceNotFound, 404, ExitNotFound, "No device with this id or custom id has asked for this app.", "See `capstan device list`; a device appears at its first check."},
	{CodeNotFound, 404, ExitNotFound, "Nothing is at this address.", "Check the path against the API reference."},
	{CodeMethod, 405, ExitUsage, "This address takes other methods than the one that was used.", "The header Allow lists them."},
	{CodeAppExists, 409, ExitConflict, "An app with this id exists already.", "Use it, or choose another id."},
	{CodeChannelExists, 409, ExitConflict, "A channel with this name exists already.", "Change it with `capstan channel set`."},
	{CodeVersionExists, 409, ExitConflict, "A bundle with this version exists and holds other content; the message lists the files that differ.", "Upload under a new version, for example with `--auto-bump`."},
	{CodeInUse, 409, ExitConflict, "Something still points at this.", "Move the channel that the message names first."},
	{CodeConfirm, 409, ExitConflict, "The command destroys something and was not confirmed.", "Repeat it with `--yes`."},
	{CodeStale, 412, ExitConflict, "Somebody else changed this since you read it; the answer carries the current number.", "Look at it again and repeat the command."},
	{CodeNoPrecondition, 428, ExitUsage, "This change needs an If-Match header with the number that you last read.", "Send `If-Match: \"<number>\"`."},
	{CodeTooLarge, 413, ExitRefused, "A body, file, archive or count is above its limit.", "The message names the limit; see docs/limits.md."},
	{CodeTooSlow, 408, ExitUnreached, "The body of a request did not arrive in time.", "Run the command again on a better connection: what arrived whole is not sent twice."},
	{CodeDigestMismatch, 422, ExitRefused, "The bytes that arrived are not the bytes that were announced.", "Run the command again: what arrived whole is not sent twice."},
	{CodeBlobMissing, 409, ExitConflict, "The bundle names bytes that the server does not have.", "Run the upload again: it sends what is missing."},
	{CodeArchiveUnsafe, 422, ExitRefused, "The archive is not in the canonical form, so two readers could see two different contents.", "Upload with `capstan bundle upload`, which writes the canonical form."},
	{CodeContentMismatch, 422, ExitRefused, "The archive and the files of the manifest do not hold the same content.", "Upload with `capstan bundle upload`, which makes both from the same folder."},
	{CodePathRefused, 422, ExitRefused, "A file name cannot be installed on every device.", "Rename the file that the message names."},
	{CodeNoIndex, 422, ExitRefused, "There is no index.html at the root of the folder.", "Give the folder of the web build: `capstan bundle upload -p dist`."},
	{CodeNoNotify, 422, ExitRefused, "No script calls notifyAppReady, so every device would roll the bundle back.", "Call `CapacitorUpdater.notifyAppReady()` when the app has started, or pass `--no-code-check`."},
	{CodeNativeCode, 422, ExitRefused, "The bundle holds native code, which the app stores forbid to ship this way.", "Ship it through the store; see docs/store-rules.md."},
	{CodeBytesGone, 409, ExitConflict, "The bytes of this bundle were collected; only its record is left.", "Upload the same content again, then repeat the command."},
	{CodeNothingEarlier, 409, ExitConflict, "The channel has no earlier release to go back to.", "Send devices back to their store build: `capstan rollback CHANNEL --to-builtin`."},
	{CodeFolder, 0, ExitUsage, "The folder is missing, is not a folder, or cannot be read.", "Build the web app first, or name the folder with `-p`."},
	{CodeFileChanged, 0, ExitRefused, "A file changed while it was being packed.", "Stop the build that writes there and run the command again."},
	{CodeConfig, 0, ExitUsage, "The Capacitor config is missing or cannot be read.", "Name it with `--capacitor-config`."},
	{CodeNoServer, 0, ExitUsage, "No server is known.", "Name it: `capstan login --server https://updates.example.com`, or set CAPSTAN_URL."},
	{CodeUnreachable, 0, ExitUnreached, "The server did not answer.", "Check the address and the network; the message carries the cause."},
	{CodeForeignToken, 0, ExitAuth, "The token belongs to Capgo and is never sent to another server.", "Use a token of this server: `capstan login`."},
	{CodeAmbiguous, 0, ExitUsage, "The command could mean more than one thing and nobody is there to ask.", "Give the flag that the message names."},
	{CodeStorageFull, 507, ExitUnreached, "The server's disk is full; nothing was changed.", "Free space on the server, then run the command again."},
	{CodeUnavailable, 503, ExitUnreached, "The server cannot do this now.", "Try again in a moment; the answer says when."},
	{CodeInterrupted, 0, ExitInterrupted, "The command was stopped before it was done; nothing half-done is visible.", "Run it again: what was sent is not sent twice."},
	{CodeInternal, 500, ExitError, "Something went wrong that the server did not expect.", "The server's log has the details under the request id."},
}

// Entry returns the row of [Codes] for c; unknown codes get that of
// [CodeInternal].
func (c Code) Entry() CodeEntry {
	for _, e := range Codes {
		if e.Code == c {
			return e
		}
	}
	return CodeInternal.Entry()
}

// Error is an error that people see. Anything else that reaches an edge is
// logged there and shown as [CodeInternal].
type Error struct {
	Code    Code
	Message string   // what happened, to what
	Field   string   // of the request, "" when none
	Hints   []string // each a command to paste or one sentence
	Number  int64    // current change number, for CodeStale
	Details []string // for example the paths that differ
	Request string   // id of the request that failed, as the server logged it
	Err     error    // cause, for logs and errors.Is; never shown
}

// Errorf makes an Error. A %w operand becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// On sets the field that the error is about.
func (e *Error) On(field string) *Error { e.Field = field; return e }

// Hint adds a command to paste, or one sentence.
func (e *Error) Hint(hints ...string) *Error { e.Hints = append(e.Hints, hints...); return e }

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [Error] in err's chain, [CodeInternal]
// when there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
