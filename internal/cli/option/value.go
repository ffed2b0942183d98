package option

import (
	"strconv"
	"strings"
)

const boolType = "bool"

// Bool binds a switch. names are separated by commas ("json,j").
func Bool(p *bool, names, usage string) Option {
	return newOption((*boolValue)(p), names, usage)
}

// String binds a single value; the last one given wins.
func String(p *string, names, usage string) Option {
	return newOption((*stringValue)(p), names, usage)
}

// List binds a value that may be repeated; the values gather in order.
func List(p *[]string, names, usage string) Option {
	return newOption((*listValue)(p), names, usage)
}

func newOption(v Value, names, usage string) Option {
	long, short := split(names)
	return Option{Long: long, Short: short, Value: v, Usage: usage}
}

type boolValue bool

func (v *boolValue) String() string { return strconv.FormatBool(bool(*v)) }
func (v *boolValue) Type() string   { return boolType }

func (v *boolValue) Set(text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return err
	}
	*v = boolValue(b)
	return nil
}

type stringValue string

func (v *stringValue) String() string { return string(*v) }
func (v *stringValue) Type() string   { return "string" }

func (v *stringValue) Set(text string) error {
	*v = stringValue(text)
	return nil
}

type listValue []string

func (v *listValue) String() string { return "[" + strings.Join(*v, " ") + "]" }
func (v *listValue) Type() string   { return "list" }

func (v *listValue) Set(text string) error {
	*v = append(*v, text)
	return nil
}
