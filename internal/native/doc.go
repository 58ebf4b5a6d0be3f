// Package native knows what native code looks like, by content and by name, and
// why the app stores forbid to ship it this way. It looks into bytes that it is
// given and refuses to know where they come from: archives inside a bundle are
// opened by a function of the caller ([Expand]).
//
// What it can find is code in a form that a machine or a virtual machine loads:
// ELF, Mach-O, DEX and its kin, PE, Java classes and archives, object files,
// bitcode, Flutter's compiled Dart. What it cannot find is said openly: a base64
// or encrypted payload inside JavaScript. Passing the gate is therefore not
// store approval ([NotApproval]), and every refusal repeats that sentence.
//
// The subtle thing is that names lie both ways. A library renamed to .png is
// found by its content, and a library whose content was encrypted or cut by its
// name; a text that merely begins like a magic number ("MZ", "oat") must pass.
package native
