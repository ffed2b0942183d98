package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/stratastore/strata/internal/cli/option"
)

// classicName is the name of the command that the classic manner stands in for.
const classicName = "containers-storage"

// exitBadOption is the classic exit code for mistakes in options after the verb.
const exitBadOption = 125

// classic is one run in the manner of the old command (command-line reference, 1).
type classic struct {
	env     Env
	verbs   []*Verb
	globals *globals
	session *session
}

func newClassic(env Env) *classic {
	g := &globals{unshare: env.needsNamespace()}
	list := slices.DeleteFunc(verbs(), func(v *Verb) bool { return v.ModernOnly })
	return &classic{env: env, verbs: list, globals: g, session: newSession(env, g, true)}
}

// run parses in two passes, opens the store and runs the verb.
func (m *classic) run(ctx context.Context) int {
	words := m.env.Args[1:]
	help := m.globals.helpOption()
	options := append(m.globals.classicOptions(), help)
	if len(words) == 0 {
		options = options[:len(options)-1] // the old command lists --help only when it was given a word
	}
	list := newOptionList(options)
	rest, err := m.parser(options, "", func() { m.generalHelp(list, m.env.Stderr) }).Parse(words)
	switch {
	case err != nil:
		m.printf("%v while parsing arguments (1)\n", err)
		m.generalHelp(list, m.env.Stderr)
		return exitFailure
	case m.globals.help:
		m.generalHelp(list, m.env.Stdout)
		return exitOK
	case len(rest) == 0:
		m.generalHelp(list, m.env.Stderr)
		return exitFailure
	}
	m.session.settle()
	return m.verb(ctx, rest[0], rest[1:])
}

// verb is the second pass and everything behind it.
func (m *classic) verb(ctx context.Context, name string, words []string) int {
	v := findVerb(m.verbs, name)
	if v == nil {
		m.printf("%s: unrecognized command.\n", name)
		return exitFailure
	}
	options := m.verbOptions(v)
	list := newOptionList(options)
	help := func() { m.verbHelp(v, name, list) }
	args, err := m.parser(options, name, help).Parse(words)
	if err != nil {
		return exitBadOption
	}
	if complaint := m.count(v, args); complaint != "" {
		m.printf("%s: %s\n", name, complaint)
		help()
		return exitFailure
	}
	if m.globals.unshare && m.env.needsNamespace() {
		code, err := m.env.again(ctx)
		if err != nil {
			m.printf("error initializing: %v\n", err)
			return exitFailure
		}
		return code
	}
	return m.call(ctx, v, args)
}

// count checks the number of arguments. The old command takes a maximum of none
// for no limit, and ignores what is too much.
func (m *classic) count(v *Verb, args []string) string {
	switch {
	case len(args) < v.Min:
		return "more arguments required."
	case v.Max > 0 && len(args) > v.Max:
		return fmt.Sprintf("too many arguments (%v).", args)
	}
	return ""
}

func (m *classic) call(ctx context.Context, v *Verb, args []string) int {
	level := slog.LevelError
	if m.globals.debug {
		level = slog.LevelDebug
	}
	m.session.log = slog.New(slog.NewTextHandler(m.env.Stderr, &slog.HandlerOptions{Level: level}))
	if _, err := m.session.open(ctx); err != nil {
		m.printf("error initializing: %s\n", openText(err))
		return (&classicPrinter{}).code(err)
	}
	c := &Call{
		Args: args, In: m.env.Stdin, Out: m.env.Stdout, JSON: m.globals.json, Now: m.env.Now(),
		Log: m.session.log, env: m.env, printer: &classicPrinter{out: m.env.Stdout, err: m.env.Stderr}, session: m.session,
		command: &command{verbs: m.verbs, globals: m.globals},
	}
	err := v.Run(ctx, c)
	if err := errorsJoin(err, m.session.close(ctx)); err != nil {
		_, _ = fmt.Fprintln(m.env.Stderr, classicText(err))
		return c.printer.code(err)
	}
	return c.code
}

// verbOptions are the verb's own options with the global ones, as the second pass reads them.
func (m *classic) verbOptions(v *Verb) []option.Option {
	options := slices.Clone(v.Options)
	if v.JSON {
		options = append(options, m.globals.jsonOption())
	}
	return append(options, m.globals.classicOptions()...)
}

// parser reports mistakes the way the old command does: the text, then where to find help.
func (m *classic) parser(options []option.Option, verb string, help func()) *option.Parser {
	return &option.Parser{
		Options: options,
		Help:    help,
		Report: func(text string) {
			_, _ = fmt.Fprintf(m.env.Stderr, "%s\nSee '%s --help'.\n", text, m.address(verb))
		},
	}
}

// address is the command line before --help in the See line.
func (m *classic) address(verb string) string {
	program := m.env.Args[0]
	switch {
	case verb != "":
		return program + " " + verb
	case program == filepath.Base(program):
		return program
	}
	return program + " " + filepath.Base(program)
}

func (m *classic) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(m.env.Stdout, format, args...) // nobody is left to tell
}

// generalHelp prints the verbs to standard output and the options to w.
func (m *classic) generalHelp(list optionList, w io.Writer) {
	m.printf("Usage: %s command [options [...]]\n\nCommands:\n\n", filepath.Base(m.env.Args[0]))
	for _, v := range m.verbs {
		m.printf("  %-30s%s\n", v.Name, v.Summary)
	}
	m.printf("\nOptions:\n")
	list.write(w)
}

// verbHelp prints the help of a verb, called as name.
func (m *classic) verbHelp(v *Verb, name string, list optionList) {
	sketch := v.Args
	if len(v.Options) > 0 || v.JSON {
		sketch = "[options [...]] " + sketch
	}
	m.printf("Usage: %s %s %s\n\n%s\n\nOptions:\n", filepath.Base(m.env.Args[0]), name, sketch, v.Summary)
	list.write(m.env.Stderr)
}
