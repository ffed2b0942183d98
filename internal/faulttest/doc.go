// Package faulttest stops a program at an exact system call, or makes that call
// fail, and holds what is left of a store against what may be left.
//
// A tracer counts the calls that change something on disk or in the mount table,
// over all threads of a process and of the processes that it starts, in the order
// in which the kernel was about to run them. Call number n of a run can be the one
// before which everything is killed, or the one that returns an error instead of
// running. A Go program's threads do not meet in the same order twice, so n names a
// point of this run, not a line of the source: whatever the point, what the tests
// demand has to hold.
//
// The calls are picked out by a seccomp filter, so that all others run at full speed.
// The tracer knows the registers of amd64 only; elsewhere the tests are skipped.
//
// The tests run the command, bin/strata as it would be built, once for each call of
// each verb. Runs sample the calls; STRATA_FAULTS=whole takes
// every one, and a number that many of each verb.
// STRATA_FAULTS_BINARY names a command to try instead of building one.
package faulttest
