package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stratastore/strata/internal/cli/option"
)

// verbFirst moves the verb to the front of the words, so that a verb's own
// options may stand before it too. Words that it can not make sense of stay as
// they are and are reported later. A "--" in front of the verb ends nothing but the
// options there, and goes.
func verbFirst(words []string, list []*Verb, global []option.Option) []string {
	guess := false // the word before was an option that may take this word as its value
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--":
			return verbFirst(slices.Delete(slices.Clone(words), i, i+1), list, global)
		case len(word) > 1 && word[0] == '-':
			o, known := globalOption(word, global)
			guess = !known && !strings.Contains(word, "=")
			if known && !o.IsBool() && !strings.Contains(word, "=") {
				i++
			}
		case isFamily(word):
			rest := slices.Delete(slices.Clone(words), i, i+1)
			return append([]string{word}, verbFirst(rest, familyMembers(word, list), global)...)
		case word == "help" || strings.HasPrefix(word, cobra.ShellCompRequestCmd) || findVerb(list, word) != nil:
			return append([]string{word}, slices.Delete(slices.Clone(words), i, i+1)...)
		case !guess:
			return words
		default:
			guess = false
		}
	}
	return words
}

// globalOption looks a word up among the global options; of clustered letters the
// last one counts, since it alone may take the next word.
func globalOption(word string, global []option.Option) (option.Option, bool) {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if strings.HasPrefix(word, "--") {
		return option.Find(global, name)
	}
	for i := 0; i < len(name)-1; i++ {
		if o, ok := option.Find(global, name[i:i+1]); !ok || !o.IsBool() {
			return option.Option{Value: boolProbe{}}, ok // the rest is the value
		}
	}
	if name == "" {
		return option.Option{}, false
	}
	return option.Find(global, name[len(name)-1:])
}

// boolProbe stands for an option that needs no further word.
type boolProbe struct{}

func (boolProbe) String() string   { return "" }
func (boolProbe) Set(string) error { return nil }
func (boolProbe) Type() string     { return "bool" }

// noSuchVerb is the argument check of the root command: whatever comes there is not a verb.
func (m *modern) noSuchVerb(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef(m.verbHint(args[0]), "unknown command %q", args[0])
}

func (m *modern) verbHint(word string) string {
	names := []string{"help"}
	for _, f := range families() {
		names = append(names, f.name)
	}
	for _, v := range m.verbs {
		names = append(names, v.names()...)
	}
	best := suggest(word, names)
	if other := meant()[word]; other != "" && findVerb(m.verbs, other) != nil {
		best = other
	}
	if best == "" {
		return "`strata help` lists the commands"
	}
	return fmt.Sprintf("did you mean `strata %s`? `strata help` lists the commands", best)
}

// noStoreNamed refuses options that name the store with nothing, which an unset variable
// of a script does: the command would work on the configured store instead.
func noStoreNamed(flags *pflag.FlagSet) error {
	for _, name := range []string{"graph", "run", "image-store", "storage-driver"} {
		if f := flags.Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return usagef("leave the option out to use the configured one", "--%s is empty", name)
		}
	}
	return nil
}

// countMistake checks the number of arguments.
func (m *modern) countMistake(v *Verb, args []string) error {
	hint := fmt.Sprintf("usage: %s; `strata help %s` has examples", usageLine(v), v.Name)
	switch {
	case len(args) < v.Min:
		return usagef(hint, "%s needs %s, got %d", v.Name, atLeast(v), len(args))
	case v.tooMany(len(args)) && v.Max == 0:
		return usagef(hint, "%s takes no arguments, got %s", v.Name, quoteWord(args[0]))
	case v.tooMany(len(args)):
		return usagef(hint, "%s takes at most %s, got %d", v.Name, plural(v.Max, "argument"), len(args))
	}
	return nil
}

func atLeast(v *Verb) string {
	if v.Min == v.Max {
		return plural(v.Min, "argument")
	}
	return "at least " + plural(v.Min, "argument")
}

func plural(n int, noun string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// optionMistake words what pflag found wrong.
func (m *modern) optionMistake(cmd *cobra.Command, err error) error {
	v := findVerb(m.verbs, verbName(cmd))
	where := programName
	options := m.globals.modernOptions()
	if v != nil {
		where += " " + v.Name
		options = append(options, v.Options...)
	}
	see := fmt.Sprintf("`%s --help` lists the options", where)
	var missing *pflag.NotExistError
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &value) && value.GetFlag().Value.Type() == "bool":
		return usagef(see, "%s: --%s is true or false, not %s", where, value.GetFlag().Name, quoteWord(value.GetValue()))
	case !errors.As(err, &missing):
		return usagef(see, "%s: %v", where, err)
	}
	name := missing.GetSpecifiedName()
	if best := suggest(name, longNames(options)); best != "" && len(name) > 1 {
		see = fmt.Sprintf("did you mean --%s? %s", best, see)
	}
	dashes := "--"
	if missing.GetSpecifiedShortnames() != "" {
		dashes = "-"
	}
	return usagef(see, "%s has no option %s%s", where, dashes, name)
}

func longNames(options []option.Option) []string {
	names := []string{"help"}
	for _, o := range options {
		names = append(names, o.Long...)
	}
	return names
}
