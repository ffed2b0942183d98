// Package option describes the options of a command line and reads them by the
// grammar of the old containers-storage command.
//
// An Option is a few names bound to a variable of the program. The same options
// serve two parsers: Parser of this package, which keeps to chapter 1 of the
// command-line reference to the letter, and pflag, for which Value is made to fit.
package option

import (
	"slices"
	"strings"
)

// Value is the variable behind an option. It has the methods of pflag.Value.
type Value interface {
	// String returns the current value the way that help shows a default.
	String() string
	// Set takes one value from the command line.
	Set(text string) error
	// Type is the word that stands for the value in help; "bool" needs no value.
	Type() string
}

// Option is one option of a verb or of the whole command.
type Option struct {
	// Long are the names that are given with two dashes; the first one is the
	// name that is shown, the others are kept for old scripts.
	Long []string
	// Short is the one-letter name, "" for none.
	Short string
	// Value is what the option sets.
	Value Value
	// Usage says in one line what the option does.
	Usage string
	// Arg stands for the value in help ("FILE"); "" takes the value's type.
	Arg string
	// Choices are the values that a shell offers for completion.
	Choices []string
	// Files says that the value is a file name.
	Files bool
	// Dirs says that the value is a directory.
	Dirs bool
}

// Name returns the name that stands for the option.
func (o Option) Name() string { return o.Long[0] }

// IsBool reports whether the option works without a value.
func (o Option) IsBool() bool { return o.Value.Type() == boolType }

// Words returns the names as they are typed, long ones first.
func (o Option) Words() []string {
	var words []string
	for _, long := range o.Long {
		words = append(words, "--"+long)
	}
	if o.Short != "" {
		words = append(words, "-"+o.Short)
	}
	return words
}

// Files returns o with a file name as its value.
func Files(o Option) Option {
	o.Arg, o.Files = "FILE", true
	return o
}

// Dirs returns o with a directory as its value.
func Dirs(o Option) Option {
	o.Arg, o.Dirs = "DIR", true
	return o
}

// As returns o with another word for its value in help.
func As(arg string, o Option) Option {
	o.Arg = arg
	return o
}

// OneOf returns o with the values that a shell offers. It checks nothing.
func OneOf(o Option, choices ...string) Option {
	o.Choices = choices
	return o
}

// split takes "name,other,n" apart: the one-letter name is the short one.
func split(names string) (long []string, short string) {
	for _, name := range strings.Split(names, ",") {
		if len(name) == 1 {
			short = name
			continue
		}
		long = append(long, name)
	}
	return long, short
}

// Find returns the option that has the name, long or short.
func Find(options []Option, name string) (Option, bool) {
	i := slices.IndexFunc(options, func(o Option) bool {
		return slices.Contains(o.Long, name) || (o.Short == name && name != "")
	})
	if i < 0 {
		return Option{}, false
	}
	return options[i], true
}
