// Package archtest holds the rules of this repository that a program can
// check: which package may import which, who may look at the clock, what every
// package must say about itself, what tests must not do. It knows Go's syntax
// and file names; it does not type-check, and judges nothing that needs taste.
//
// [Imports] is the one table of import direction. Arrows go down only: edges
// speak a protocol and decide nothing, state packages keep rows, byte packages
// know files and streams, and pure packages turn values into values.
//
// The subtle thing is that a check which finds nothing looks the same whether
// the code is clean or the check is blind. So every [Rule] brings planted
// sources that it must find and look-alikes that it must not, and the test
// fails when a rule has tried fewer files than there are known to be.
package archtest
