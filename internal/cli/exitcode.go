package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/stratastore/strata/errdefs"
)

// The exit codes that no error kind stands for.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// exitCode is one row of the modern manner's table.
type exitCode struct {
	code int
	// short is a word or two, meaning says more; either may stand alone.
	short, meaning string
	// kinds are the errors that lead to the code; the first row that matches counts.
	kinds []error
}

// exitCodes is the whole table, in the order in which errors are matched; help
// and manual pages print it sorted as it stands.
func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "success", "", nil},
		{exitFailure, "failure", "none of those below", nil},
		{exitUsage, "wrong use", "unknown command or option, bad value or argument count", []error{errUsage, errdefs.ErrInvalid}},
		{3, "not found", "an image, container, layer, item or file", []error{errdefs.ErrNotFound, fs.ErrNotExist}},
		{4, "already exists", "the ID or name is taken", []error{errdefs.ErrExists}},
		{5, "in use", "something refers to the object or has it mounted", []error{errdefs.ErrInUse, syscall.EBUSY}},
		{6, "corrupt", "data contradicts its digest, length or format", []error{errdefs.ErrCorrupt}},
		{7, "unsupported", "by the kernel, the file system, the driver or the format", []error{errdefs.ErrUnsupported}},
		{8, "read-only", "the store or the part of it that holds the object", []error{errdefs.ErrReadOnly, syscall.EROFS}},
		{9, "locked", "by another process", []error{errdefs.ErrLocked}},
		{10, "limit reached", "untrusted input is larger than allowed", []error{errdefs.ErrLimit}},
		{11, "no space left", "", []error{syscall.ENOSPC, syscall.EDQUOT}},
		{12, "permission denied", "", []error{fs.ErrPermission}},
		{exitInterrupted, "interrupted", "", []error{errInterrupted, context.Canceled}},
	}
}

// String is the row's text for people.
func (e exitCode) String() string {
	if e.meaning == "" {
		return e.short
	}
	return e.short + ": " + e.meaning
}

// exitCodeOf chooses the code for an error; nil is success.
//
// Reasons of the system (interruption, space, permission) go before kinds: a
// tar cut short by Ctrl-C is not corrupt.
func exitCodeOf(err error) int {
	if err == nil {
		return exitOK
	}
	table := exitCodes()
	for i := len(table) - 1; i >= 0; i-- {
		for _, kind := range table[i].kinds {
			if errors.Is(err, kind) {
				return table[i].code
			}
		}
	}
	return exitFailure
}

// errUsage is the kind of mistakes on the command line.
var errUsage = errdefs.New(errdefs.ErrInvalid, "wrong use")

// usageError is a mistake on the command line with what to do about it.
type usageError struct {
	text string
	hint string
}

func (e *usageError) Error() string { return e.text }
func (e *usageError) Hint() string  { return e.hint }
func (e *usageError) Unwrap() error { return errUsage }

func usagef(hint, format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), hint: hint}
}
