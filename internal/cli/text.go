package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/layer"
)

// errorsJoin is errors.Join that keeps a lone error as it is, so that its text
// stays one line.
func errorsJoin(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return errors.Join(a, b)
}

// referenceTexter is implemented by errors whose text differs from the one that
// scripts for the old command may compare.
type referenceTexter interface {
	error
	ReferenceText() string
}

// classicText is the old command's wording of an error.
func classicText(err error) string {
	var ref referenceTexter
	if errors.As(err, &ref) {
		return ref.ReferenceText()
	}
	return err.Error()
}

// reworded is an error with a text for people and the old command's text.
type reworded struct {
	error
	reference string
}

func (e *reworded) ReferenceText() string { return e.reference }
func (e *reworded) Unwrap() error         { return e.error }

// openText is the old command's wording for a store that does not open.
func openText(err error) string {
	var option *graphdriver.UnknownOptionError
	if errors.As(err, &option) {
		return fmt.Sprintf("unknown option %q (%q)", option.Key, option.Text)
	}
	var several *graphdriver.SeveralStatesError
	if errors.As(err, &several) {
		return several.Error()
	}
	var foreign *graphdriver.ForeignStateError
	if errors.As(err, &foreign) {
		return foreign.Error()
	}
	return classicText(err)
}

// modernText is the wording of an error for people. It names the object: arg, or
// the one that the error itself tells of.
func modernText(arg string, err error) string {
	if interrupted(err) {
		return errInterrupted.Error()
	}
	text := err.Error()
	var about *layer.SubjectError
	var unknown *strata.UnknownError
	switch {
	case errors.As(err, &unknown) && text == unknown.Error():
		return quoteWord(unknown.Name) + ": " + unknown.Unwrap().Error()
	case errors.As(err, &about) && text == about.Error():
		return quoteWord(about.Subject) + ": " + text
	case arg == "" || mentions(text, arg):
		return text
	}
	return quoteWord(arg) + ": " + text
}

// mentions reports whether the text has the word in it, and not as a part of a longer one.
func mentions(text, word string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(word)
		if (begin == 0 || !inWord(text[begin-1])) && (end == len(text) || !inWord(text[end])) {
			return true
		}
		at = begin + 1
	}
}

func inWord(c byte) bool {
	return c == '_' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}

// interrupted reports whether a signal made the error.
func interrupted(err error) bool {
	return errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled)
}

// quoteWord quotes what would be hard to see or to tell from the text around it.
func quoteWord(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\"'") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// hintFor returns the next step for an error, from the error itself or from its kind.
func hintFor(err error) string {
	if hint := errdefs.Hint(err); hint != "" {
		return hint
	}
	for _, h := range kindHints() {
		if errors.Is(err, h.kind) {
			return h.hint
		}
	}
	return ""
}
