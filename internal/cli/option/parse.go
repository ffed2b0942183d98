package option

import (
	"errors"
	"fmt"
	"strings"
)

// ErrHelp says that the command line asks for help without there being an
// option for it.
var ErrHelp = errors.New("flag: help requested")

// Parser reads the options at the front of a command line by the rules of the
// containers-storage command (command-line reference, chapter 1): long names with
// two dashes, no glued short values, clusters of switches, reading stops at the
// first other word or behind "--". It is used once and by one goroutine.
type Parser struct {
	// Options are what may be given.
	Options []Option
	// Report is called with the text of every mistake. A cluster can hold two.
	Report func(text string)
	// Help is called when help is asked for with a name that no option has.
	Help func()

	args []string
}

// Parse sets the options and returns the words behind them. It stops at the
// first mistake, whose text Report has seen too, or with ErrHelp.
func (p *Parser) Parse(args []string) (rest []string, err error) {
	p.args = args
	for {
		more, unknown, err := p.next()
		if err != nil {
			return nil, err
		}
		if unknown != "" {
			if err := p.cluster(unknown); err != nil {
				return nil, err
			}
			continue
		}
		if !more {
			return p.args, nil
		}
	}
}

// next reads one option. It returns more=false at the end of the options, and
// the name when it is a one-dash word that is not an option by itself.
func (p *Parser) next() (more bool, unknown string, err error) {
	if len(p.args) == 0 {
		return false, "", nil
	}
	word := p.args[0]
	switch {
	case len(word) < 2 || word[0] != '-':
		return false, "", nil
	case word == "--":
		p.args = p.args[1:]
		return false, "", nil
	case word[1] == '=':
		return false, "", p.fail("bad flag syntax: %s", word)
	}
	p.args = p.args[1:]
	name, value, glued := strings.Cut(word[1:], "=")
	opt, ok := p.find(name)
	switch {
	case ok:
		return true, "", p.set(opt, name, unquote(value), glued)
	case name == "-help" || name == "help" || name == "h":
		p.Help()
		return false, "", ErrHelp
	case name[0] == '-':
		return false, "", p.fail("flag provided but not defined: -%s", name)
	}
	return false, name, nil
}

// find looks an option up by its word without the first dash.
func (p *Parser) find(name string) (Option, bool) {
	if long, ok := strings.CutPrefix(name, "-"); ok {
		if len(long) < 2 {
			return Option{}, false
		}
		return Find(p.Options, long)
	}
	if len(name) != 1 {
		return Option{}, false
	}
	return Find(p.Options, name)
}

// cluster reads a one-dash word of several letters as one word per letter, in
// turn, so that a letter which needs a value takes the next word of the line.
func (p *Parser) cluster(name string) error {
	letters := strings.Split(name, "")
	if len(letters) == 1 {
		return p.fail("flag provided but not defined: -%s", name)
	}
	for _, letter := range letters {
		p.args = append([]string{"-" + letter}, p.args...)
		_, unknown, err := p.next()
		if unknown != "" || err != nil {
			return p.fail("flag provided but not defined: -%s", name)
		}
	}
	return nil
}

// set gives the option its value, from the same word or from the next one.
func (p *Parser) set(opt Option, name, value string, glued bool) error {
	if !opt.IsBool() {
		return p.setValue(opt, name, value, glued)
	}
	if !glued {
		value = "true"
	}
	if err := opt.Value.Set(value); err != nil {
		return p.fail("invalid boolean value %q for  -%s: %v", value, name, err)
	}
	return nil
}

func (p *Parser) setValue(opt Option, name, value string, glued bool) error {
	if !glued {
		if len(p.args) == 0 {
			return p.fail("flag needs an argument: -%s", name)
		}
		value, p.args = p.args[0], p.args[1:]
	}
	if err := opt.Value.Set(value); err != nil {
		return p.fail("invalid value %q for flag -%s: %v", value, name, err)
	}
	return nil
}

func (p *Parser) fail(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	p.Report(err.Error())
	return err
}

// unquote removes one pair of matching quotes around a value.
func unquote(s string) string {
	if len(s) < 2 {
		return s
	}
	last := len(s) - 1
	if s[0] == s[last] && (s[0] == '"' || s[0] == '\'') {
		return s[1:last]
	}
	return s
}
