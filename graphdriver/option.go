package graphdriver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// Option is one driver option, its driver prefix removed: "mountopt", "nodev".
type Option struct {
	// Key is lower case.
	Key string
	// Value is everything after the first "=", as written.
	Value string
	// Text is the whole option as the user wrote it, for messages; may be "".
	Text string
}

func (o Option) String() string {
	if o.Text != "" {
		return o.Text
	}
	return o.Key + "=" + o.Value
}

// Setters maps each key that a driver knows, in lower case, to the function that takes its value.
type Setters map[string]func(value string) error

// SetOptions hands each option to its setter, in order. An unknown key is an
// *UnknownOptionError that lists the known ones; errors of setters come back with the
// option's text. driver is the name used in messages.
func SetOptions(driver string, options []Option, setters Setters) error {
	for _, o := range options {
		set := setters[o.Key]
		if set == nil {
			return &UnknownOptionError{
				Driver: driver, Key: o.Key, Text: o.String(),
				Known: slices.Sorted(maps.Keys(setters)),
			}
		}
		if err := set(o.Value); err != nil {
			return errdefs.WithHint(fmt.Errorf("driver option %q: %w", o.String(), err), optionHint)
		}
	}
	return nil
}

// UnknownOptionError says that a driver has no such option. Its kind is errdefs.ErrInvalid.
type UnknownOptionError struct {
	// Driver is the driver that was asked.
	Driver string
	// Key is the unknown key, Text the option as written.
	Key, Text string
	// Known are the keys that the driver knows, sorted.
	Known []string
}

func (e *UnknownOptionError) Error() string {
	return fmt.Sprintf("unknown option %q (%q); %s knows %s", e.Key, e.Text, e.Driver, strings.Join(e.Known, ", "))
}

// Unwrap returns the kind.
func (e *UnknownOptionError) Unwrap() error { return errdefs.ErrInvalid }

// optionHint says where options come from.
const optionHint = "`strata config explain` tells where the option was set"

// Hint says where options come from.
func (e *UnknownOptionError) Hint() string { return optionHint }

// ParseBool reads the value of a boolean option: true, t, 1, yes, on and their opposites, in
// any case. Anything else is an ErrInvalid.
func ParseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "t", "1", "yes", "on":
		return true, nil
	case "false", "f", "0", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false: %w", value, errdefs.ErrInvalid)
}

// ParseSync reads the value of a "sync" option: "filesystem" or "none", in any case.
// Anything else is an ErrInvalid.
func ParseSync(value string) (SyncMode, error) {
	switch strings.ToLower(value) {
	case "filesystem":
		return SyncFilesystem, nil
	case "none":
		return SyncNone, nil
	}
	return 0, fmt.Errorf("%q is neither %q nor %q: %w", value, "filesystem", "none", errdefs.ErrInvalid)
}

// rawOption is an option before it is known whose it is.
type rawOption struct {
	prefix string // driver, lower case, aliases resolved; "" for whatever driver is chosen
	Option
}

// parseOptions reads options as users write them: "overlay.key=value", ".key=value" and
// "key=value". Keys and prefixes are case-insensitive. prefixes are the drivers that may be
// named; another one is an ErrInvalid, because a misspelt option must not be dropped.
func parseOptions(texts, prefixes []string) ([]rawOption, error) {
	var out []rawOption
	for _, text := range texts {
		o, err := parseOption(text)
		if err != nil {
			return nil, err
		}
		if o.prefix != "" && !slices.Contains(prefixes, o.prefix) {
			return nil, errdefs.WithHint(fmt.Errorf("driver option %q: unknown driver %q, known are %s: %w",
				text, o.prefix, strings.Join(prefixes, ", "), errdefs.ErrInvalid), optionHint)
		}
		out = append(out, o)
	}
	return out, nil
}

func parseOption(text string) (rawOption, error) {
	key, value, ok := strings.Cut(text, "=")
	key = strings.ToLower(strings.TrimSpace(key))
	prefix, name, dotted := strings.Cut(key, ".")
	if !dotted {
		prefix, name = "", key
	}
	if !ok || name == "" {
		return rawOption{}, errdefs.WithHint(fmt.Errorf("driver option %q is not of the form key=value: %w", text, errdefs.ErrInvalid), optionHint)
	}
	return rawOption{
		prefix: canonical(prefix),
		Option: Option{Key: name, Value: strings.TrimSpace(value), Text: text},
	}, nil
}

// optionsOf returns the options that are for the driver: those with its prefix and those
// with none. Options with the prefix of another driver are not its business.
func optionsOf(driver string, all []rawOption) []Option {
	driver = strings.ToLower(driver)
	var out []Option
	for _, o := range all {
		if o.prefix == "" || o.prefix == driver {
			out = append(out, o.Option)
		}
	}
	return out
}

// OptionsFor returns the options among texts that are the driver's: written "driver.key=value",
// ".key=value" or "key=value". Those with the prefix of another known driver are left out, any
// other prefix is an ErrInvalid. Registry.Open does the same; this is for who opens a driver
// without one.
func OptionsFor(driver string, texts []string) ([]Option, error) {
	all, err := parseOptions(texts, append([]string{driver}, foreignPrefixes...))
	if err != nil {
		return nil, err
	}
	return optionsOf(driver, all), nil
}
