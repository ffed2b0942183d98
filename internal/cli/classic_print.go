package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// classicPrinter prints the way the old command does (command-line reference, 3).
type classicPrinter struct {
	out, err io.Writer
}

func (p *classicPrinter) show(c *Call, r Result) error {
	if !c.JSON || r.Always {
		if err := p.text(r); err != nil {
			return err
		}
	}
	if !c.JSON {
		return nil
	}
	return writeJSON(p.out, r.JSON, "")
}

func (p *classicPrinter) text(r Result) error {
	if r.Text == nil {
		return nil
	}
	var b bytes.Buffer
	r.Text(&b)
	w := p.out
	if r.OldStderr {
		w = p.err
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (p *classicPrinter) fail(c *Call, f Failure) {
	if f.Line != "" && (!c.JSON || f.InJSON) {
		_, _ = fmt.Fprintln(p.err, f.Line)
	}
}

// warn prints remarks that are strata's own; they must not mix with what scripts
// compare, so they go to standard error.
func (p *classicPrinter) warn(text string) { _, _ = fmt.Fprintln(p.err, "warning: "+text) }

func (p *classicPrinter) code(err error) int {
	switch {
	case err == nil:
		return exitOK
	case interrupted(err):
		return exitInterrupted
	}
	return exitFailure
}

// writeJSON prints one value and a newline; with an indent, over several lines.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
