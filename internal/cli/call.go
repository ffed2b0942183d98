package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/cli/table"
)

// Call is one run of a verb: its arguments, where it reads and prints, and the
// store. It belongs to one goroutine.
type Call struct {
	// Args are the arguments without options.
	Args []string
	// In is standard input.
	In io.Reader
	// Out takes bulk data (a tar). Results go through Show.
	Out io.Writer
	// JSON says that results are wanted as JSON.
	JSON bool
	// Now is the time for ages.
	Now time.Time
	// Terminal describes what standard input, output and error are.
	Terminal Terminal
	// Log takes what is of use to who looks for a fault.
	Log *slog.Logger

	env     Env
	printer printer
	session *session
	command *command
	code    int
	shown   bool
}

// printer is the printing half of a manner.
type printer interface {
	// show prints a result.
	show(c *Call, r Result) error
	// fail prints the failure of one argument.
	fail(c *Call, f Failure)
	// warn prints a remark that is not a failure.
	warn(text string)
	// code is the exit code for an error.
	code(err error) int
}

// command gives the few verbs that are about the command itself access to it.
type command struct {
	verbs []*Verb
	// complete writes the completion script of a shell.
	complete func(shell string, w io.Writer) error
	globals  *globals
}

// Result is what a verb found, in each form in which it can be shown. A form that
// is nil prints nothing.
type Result struct {
	// Text prints the reference's plain text.
	Text func(b *bytes.Buffer)
	// Table fills the table for a terminal; nil takes Text.
	Table func() (*table.Table, error)
	// Notes are lines below the table on a terminal, and without a table what a
	// terminal gets instead of Text.
	Notes []string
	// JSON is the value of the reference's JSON.
	JSON any
	// Rich makes the value of the modern manner's JSON; nil takes JSON.
	Rich func() (any, error)
	// OldStderr says that the classic manner prints Text to standard error.
	OldStderr bool
	// Always says that Text is printed in the classic manner's JSON mode too,
	// before the JSON.
	Always bool
}

// Failure is an argument that could not be dealt with while others go on.
type Failure struct {
	// Arg is the argument as typed.
	Arg string
	// Err is the cause.
	Err error
	// Line is the classic manner's line for standard error; "" prints none there.
	Line string
	// Shown says that the result tells of it already, so that only the exit code
	// is left to set.
	Shown bool
	// InJSON says that the classic manner prints Line in JSON mode as well.
	InJSON bool
}

// Show prints a result.
func (c *Call) Show(r Result) error {
	c.shown = true
	return c.printer.show(c, r)
}

// Text shows plain lines that have no other form than themselves and value in JSON.
func (c *Call) Text(value any, lines ...string) error {
	return c.Show(Result{Text: printLines(lines), JSON: value})
}

// Fail reports the failure of one argument; the exit code is that of the first.
func (c *Call) Fail(f Failure) {
	if c.code == exitOK {
		c.code = c.printer.code(f.Err)
	}
	if !f.Shown {
		c.printer.fail(c, f)
	}
}

// Exit sets the exit code without a word.
func (c *Call) Exit(code int) {
	if c.code == exitOK {
		c.code = code
	}
}

// Warn prints a remark to standard error.
func (c *Call) Warn(text string) { c.printer.warn(text) }

// Store opens the store on first use.
func (c *Call) Store(ctx context.Context) (*strata.Store, error) { return c.session.open(ctx) }

// Examine is Store for a verb that looks for damage.
func (c *Call) Examine(ctx context.Context) (*strata.Store, error) {
	c.session.examine = true
	return c.session.open(ctx)
}

// Config returns the configuration with the command line's values in it.
func (c *Call) Config() (*config.Config, error) { return c.session.config() }

func printLines(lines []string) func(*bytes.Buffer) {
	return func(b *bytes.Buffer) {
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
	}
}

// classic reports whether the old command's manner is wanted, for the few habits
// of it that are not printing.
func (c *Call) classic() bool {
	_, ok := c.printer.(*classicPrinter)
	return ok
}

// selfNaming is implemented by errors that name what they are about, which may be
// another argument than the first.
type selfNaming interface {
	error
	namesObject()
}

// subject is the argument that an error is about when the error does not say.
func (c *Call) subject(err error) string {
	var open *openError
	var says selfNaming
	switch {
	case len(c.Args) == 0 || c.Args[0] == "-":
		return ""
	case errors.As(err, &open) || errors.As(err, &says) || errors.Is(err, errUsage) || interrupted(err):
		return ""
	}
	return c.Args[0]
}
