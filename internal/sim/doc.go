// Package sim is a virtual device: it asks, downloads, verifies, installs,
// confirms or rolls back, and reports exactly as the Capgo live-update plugins
// do, in virtual time. It knows the protocol text (device-clients.md) and
// nothing of the server: it imports neither wire/capgo nor decide, has its own
// zip reader and decryption, and calls a brotli library itself, so that a slip
// on one side is never mirrored on the other.
//
// # What is modelled
//
//   - The info object, its fields by platform and plugin version, and the
//     User-Agent (§2).
//   - The update check: parsing per platform, null traps, iOS's strict types,
//     the five ages of reaction to a refusal (§3.4–§3.7), 429 with Retry-After
//     or the latch of older plugins (§3.6), /manifest_size (§3.8).
//   - Channels: POST, PUT, GET, DELETE, the local memory, Electron's forms (§4).
//   - Statistics: batches, single objects, queue of 200, re-queueing, what
//     survives a restart (§5).
//   - The zip: statuses, redirects, Range, retry of the Android worker with its
//     waiting times, layout and path rules, checksum by age (§6).
//   - The manifest: built-in files, cache by hash and base name, partial files,
//     brotli and its special cases, parallel downloads, no fallback (§7).
//   - Keys: session key, V2 and V3 checksums, AES, and which combination each
//     age accepts (§8.2–§8.5).
//   - The state machine: downloading, pending, success, error; current, next,
//     fallback; roll-back after a missed notifyAppReady; native updates; the
//     update modes (§9.1, §9.2). Electron keeps a bundle that is not confirmed.
//
// # What is not modelled
//
// V1 encryption (a plugin with a V1 key fails on any session key, as one whose
// key does not fit would), disk and memory limits, delay conditions, preview
// sessions, the shake menu, run-time changes of URLs and app id, crash and
// WebView reports, the process death of an old Android worker in mid-download,
// and Volley's repetition of a timed-out POST. Time-outs other than iOS's total
// limit are left to the given HTTP client.
//
// # Does a bundle work?
//
// The app in a bundle calls notifyAppReady unless its index.html contains the
// text of [BrokenMark]; [Options.Works] decides otherwise. The built-in bundle
// always works.
//
// # Time
//
// The device's clock is [Options.Now] plus everything that it had to wait for:
// a wait moves the clock and takes no time. The one-second statistics timer is
// the caller's: see [Device.FlushStats]. The subtle thing: the Android worker
// retries for ever, so a call gives up watching after [Options.Patience] of
// virtual time and leaves the work to the next call.
package sim
