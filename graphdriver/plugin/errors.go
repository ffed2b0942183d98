package plugin

import (
	"errors"
	"io"
	"io/fs"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
)

// The errors of this package; what a driver on the other side answers has that driver's kinds.
var (
	// ErrUnavailable: the plugin can not be reached, died while it worked, or does not answer
	// in time.
	ErrUnavailable = errors.New("plugin is not available")
	// ErrNoGraphDriver: the plugin answers, but is none for layers.
	ErrNoGraphDriver = errdefs.New(errdefs.ErrUnsupported, "plugin is no graph driver")
	// ErrAnswer: the plugin's answer breaks the protocol.
	ErrAnswer = errdefs.New(errdefs.ErrCorrupt, "plugin breaks the protocol")

	// errNoInit is a server's answer before Init.
	errNoInit = errdefs.New(errdefs.ErrInvalid, "graph driver is not initialised: send GraphDriver.Init first")
	// errStalled ends a stream that does not move.
	errStalled = errors.New("nothing moved for too long")
)

// CallError is the error of one request to a plugin.
type CallError struct {
	// Plugin is its name, Address its socket, Method the protocol's without "GraphDriver.".
	Plugin, Address, Method string
	// Err is the cause: a *RemoteError, or wraps ErrUnavailable, ErrAnswer or a context's error.
	Err error
}

// Error names the plugin, the socket and the call.
func (e *CallError) Error() string {
	return "storage driver plugin " + e.Plugin + " at " + e.Address + ": " + e.Method + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Hint is the next step when the plugin is not there.
func (e *CallError) Hint() string {
	if !errors.Is(e.Err, ErrUnavailable) {
		return ""
	}
	return "see that the plugin's process runs and answers on " + e.Address
}

// RemoteError is an error that a plugin answered.
type RemoteError struct {
	// Status is the HTTP status, Text the plugin's own words.
	Status int
	Text   string
	kinds  []error
}

// Error is the text.
func (e *RemoteError) Error() string { return e.Text }

// Unwrap returns the error's kinds, as far as the plugin told.
func (e *RemoteError) Unwrap() []error { return e.kinds }

// kinds are the errors that have a name on the wire.
var kinds = []struct {
	name string
	err  error
}{
	{"no-init", errNoInit},
	{"unmapped", idmap.ErrUnmapped},
	{"cut", io.ErrUnexpectedEOF},
	{"no-file", fs.ErrNotExist},
	{"incompatible-fs", graphdriver.ErrIncompatibleFS},
	{"prerequisites", graphdriver.ErrPrerequisites},
	{"driver-not-supported", graphdriver.ErrNotSupported},
	{"not-found", errdefs.ErrNotFound},
	{"exists", errdefs.ErrExists},
	{"in-use", errdefs.ErrInUse},
	{"corrupt", errdefs.ErrCorrupt},
	{"read-only", errdefs.ErrReadOnly},
	{"locked", errdefs.ErrLocked},
	{"limit", errdefs.ErrLimit},
	{"unsupported", errdefs.ErrUnsupported},
	{"invalid", errdefs.ErrInvalid},
}

// kindNames are the names of what err is; nil if nothing fits.
func kindNames(err error) (names []string) {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			names = append(names, k.name)
		}
	}
	return names
}

// kindsOf are the errors of names; those that are not known are left out.
func kindsOf(names []string) (errs []error) {
	for _, k := range kinds {
		if slices.Contains(names, k.name) {
			errs = append(errs, k.err)
		}
	}
	return errs
}
