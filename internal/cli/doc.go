// Package cli is strata's command line.
//
// A Verb is one thing that the command does: its names, its options, an example
// and a function that uses the store's exported calls. Two manners serve the same
// verbs. The classic one answers when the program is called
// "containers-storage" and keeps to that command's grammar, texts and exit codes
// to the byte, so that scripts written for it run unchanged. The modern one
// answers otherwise: options anywhere, tables on a terminal, plain text in a
// pipe, JSON on request, errors with the next step.
//
// A manner parses and prints; a verb does neither. It is given a Call, asks it
// for the store, and hands it a Result or the Failure of one argument.
//
// Where output goes: results to standard output, everything else (errors, hints,
// warnings, progress, log) to standard error. Progress is drawn on a terminal
// only. The environment is read in one place, System.
package cli
