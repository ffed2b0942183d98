// Package errdefs names the few kinds of error that strata's packages return.
//
// Every sentinel of every package belongs to exactly one kind, so a caller can
// ask either question with errors.Is: "is this layer.ErrUnknown?" or "is
// anything missing?" (ErrNotFound). Texts are for people; nothing matches on
// them.
package errdefs

import "errors"

// The kinds. A sentinel made by New matches its kind with errors.Is.
var (
	// ErrNotFound: the named object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists: the ID or name is taken.
	ErrExists = errors.New("already exists")
	// ErrInUse: something still refers to the object.
	ErrInUse = errors.New("in use")
	// ErrCorrupt: bytes on disk or from a stream contradict their digest, length or syntax.
	ErrCorrupt = errors.New("corrupt")
	// ErrInvalid: the caller's argument can not be right.
	ErrInvalid = errors.New("invalid")
	// ErrUnsupported: the kernel, file system, driver or format lacks the ability.
	ErrUnsupported = errors.New("not supported")
	// ErrReadOnly: the store, or the part of it that holds the object, may not be written.
	ErrReadOnly = errors.New("read-only")
	// ErrLocked: somebody else holds the lock and the caller did not want to wait.
	ErrLocked = errors.New("locked")
	// ErrLimit: a cap on what a stranger controls was reached.
	ErrLimit = errors.New("limit exceeded")
)

// sentinel is an error of a kind with a text of its own.
type sentinel struct {
	kind error
	text string
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.kind }

// New returns a sentinel of the given kind. Each call returns a distinct value.
func New(kind error, text string) error { return &sentinel{kind: kind, text: text} }

// Hinter is implemented by errors that know the next step for a person.
type Hinter interface {
	error
	// Hint is one line: the next command to run or setting to change.
	Hint() string
}

type hinted struct {
	error
	hint string
}

func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Unwrap() error { return h.error }

// WithHint returns err with a next step for the command line; nil stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{error: err, hint: hint}
}

// Hint returns the outermost hint in err's chain, or "".
func Hint(err error) string {
	var h Hinter
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
