package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/internal/cli/userns"
)

// modernPrinter prints for people on a terminal, for pipes, and JSON on request.
type modernPrinter struct {
	out, err io.Writer
	terminal Terminal
	json     bool
	// inNamespace: an ordinary user's, whose IDs may be few.
	inNamespace bool
	// other is the hint for a name of another kind than the wanted one; nil before a verb runs.
	other func(arg string, err error) string
}

func newModernPrinter(env Env) *modernPrinter {
	p := &modernPrinter{out: env.Stdout, err: env.Stderr, terminal: env.Terminal, inNamespace: userns.Inside(env.Config.Getenv)}
	if env.Terminal.Out {
		p.out = screen{env.Stdout}
	}
	if env.Terminal.Err {
		p.err = screen{env.Stderr}
	}
	return p
}

// screen is a terminal, which gets nothing but text: names and errors can hold
// what other people want it to do.
type screen struct{ w io.Writer }

func (s screen) Write(text []byte) (int, error) {
	clean := bytes.Map(func(r rune) rune {
		if table.IsControl(r) && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, text)
	if _, err := s.w.Write(clean); err != nil {
		return 0, err
	}
	return len(text), nil
}

func (p *modernPrinter) show(c *Call, r Result) error {
	if p.json {
		value, err := r.JSON, error(nil)
		if r.Rich != nil {
			value, err = r.Rich()
		}
		return errorsJoin(err, writeJSON(p.out, value, ""))
	}
	if p.terminal.Out && (r.Table != nil || len(r.Notes) > 0) {
		return p.screenful(r)
	}
	if r.Text == nil {
		return nil
	}
	var b bytes.Buffer
	r.Text(&b)
	_, err := p.out.Write(b.Bytes())
	return err
}

// screenful prints for a terminal.
func (p *modernPrinter) screenful(r Result) error {
	if r.Table != nil {
		t, err := r.Table()
		if err != nil {
			return err
		}
		if err := t.Write(p.out, p.terminal.Width); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	printLines(r.Notes)(&b)
	_, err := p.out.Write(b.Bytes())
	return err
}

func (p *modernPrinter) fail(_ *Call, f Failure) { p.problem(f.Arg, f.Err) }

// problem prints an error and its hint.
func (p *modernPrinter) problem(arg string, err error) {
	if p.json {
		// Nothing can be done about a standard error that does not take it.
		_ = writeJSON(p.err, problemJSON{Error: modernText(arg, err), Object: arg, Hint: p.hint(arg, err), Code: exitCodeOf(err)}, "")
		return
	}
	_, _ = fmt.Fprintf(p.err, "error: %s\n", modernText(arg, err))
	if hint := p.hint(arg, err); hint != "" {
		_, _ = fmt.Fprintf(p.err, "hint: %s\n", hint)
	}
}

// hint is the next step for an error about arg.
func (p *modernPrinter) hint(arg string, err error) string {
	if p.other != nil {
		if hint := p.other(arg, err); hint != "" {
			return hint
		}
	}
	hint := hintFor(err)
	if hint == "" && p.inNamespace && errors.Is(err, syscall.EINVAL) {
		return "if an owner could not be set: give the user ranges in /etc/subuid and /etc/subgid, or set the driver option ignore_chown_errors=true"
	}
	return hint
}

// problemJSON is an error as JSON on standard error.
type problemJSON struct {
	Error  string `json:"error"`
	Object string `json:"object,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Code   int    `json:"exit-code"`
}

func (p *modernPrinter) warn(text string) {
	if p.json {
		_ = writeJSON(p.err, map[string]string{"warning": text}, "")
		return
	}
	_, _ = fmt.Fprintln(p.err, "warning: "+text)
}

func (p *modernPrinter) code(err error) int { return exitCodeOf(err) }
