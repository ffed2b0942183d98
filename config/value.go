package config

import "fmt"

// Origin says where a value came from.
type Origin struct {
	// Source is "default", "file", "environment" or "command line".
	Source Source
	// Name is the file's path or the variable's or option's name; "" for defaults.
	Name string
	// Line is the line in the file, from 1; 0 when there is none.
	Line int
}

// Source is the kind of an Origin.
type Source string

// The sources, weakest first.
const (
	FromDefault     Source = "default"
	FromFile        Source = "file"
	FromEnvironment Source = "environment"
	FromCommandLine Source = "command line"
)

// String is "default", "PATH:LINE", "$NAME" or "--name".
func (o Origin) String() string {
	switch o.Source {
	case FromFile:
		if o.Line > 0 {
			return fmt.Sprintf("%s:%d", o.Name, o.Line)
		}
		return o.Name
	case FromEnvironment:
		return "$" + o.Name
	case FromCommandLine:
		return o.Name
	default:
		return string(FromDefault)
	}
}

// Setting is the value of one key in effect, with what it overrode.
type Setting struct {
	// Key is the full dotted key: "storage.options.overlay.mountopt".
	Key string
	// Value is a string, bool, uint32, []string or map[string]string, by the key's type.
	Value any
	// Origin is where Value was set.
	Origin Origin
	// Overrode lists earlier values of the same key, the latest first.
	Overrode []Overridden
}

// Overridden is a value that lost against a later one.
type Overridden struct {
	Value  any
	Origin Origin
}

// set replaces the value and remembers the old one, defaults included.
func (s *Setting) set(v any, from Origin) {
	if s.Origin.Source != "" {
		s.Overrode = append([]Overridden{{Value: s.Value, Origin: s.Origin}}, s.Overrode...)
	}
	s.Value, s.Origin = v, from
}

// Warning is a key that no engine knows. It never stops the program.
type Warning struct {
	// File and Line say where the key stands.
	File string
	Line int
	// Key is the full dotted key.
	Key string
	// Suggestion is the known key that was probably meant, or "".
	Suggestion string
}

// String is one line for people.
func (w Warning) String() string {
	text := fmt.Sprintf("%s:%d: unknown key %q", w.File, w.Line, w.Key)
	if w.Suggestion != "" {
		text += fmt.Sprintf(", did you mean %q?", w.Suggestion)
	}
	return text
}
