package config

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/stratastore/strata/errdefs"
)

// maxFile caps a configuration file; real ones are a few KiB.
const maxFile = 1 << 20

// parsed is one file's keys, flattened.
type parsed struct {
	path  string
	where locator
	keys  map[string]any
	// ignored are tables that older engines read.
	ignored []string
}

// readFile parses one file. The error of a syntax error names path, line and cause.
func readFile(path string) (*parsed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	n, err := text.ReadFrom(limited(f))
	if err != nil {
		return nil, fmt.Errorf("read configuration %q: %w", path, err)
	}
	if n > maxFile {
		return nil, fmt.Errorf("configuration %q is larger than %d bytes: %w", path, maxFile, errdefs.ErrLimit)
	}
	return parse(path, text.String())
}

func parse(path, text string) (*parsed, error) {
	tree := map[string]any{}
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, fmt.Errorf("decode configuration %q: %w: %w", path, err, errdefs.ErrInvalid)
	}
	p := &parsed{path: path, where: newLocator(text), keys: map[string]any{}}
	p.flatten("", tree)
	return p, nil
}

// flatten turns tables into dotted keys; string tables stay one value.
func (p *parsed) flatten(prefix string, tree map[string]any) {
	for name, v := range tree {
		full := prefix + name
		table, ok := v.(map[string]any)
		if !ok || full == optionsTable+"pull_options" {
			p.keys[full] = v
			continue
		}
		if slices.Contains(ignoredTables, full) {
			p.ignored = append(p.ignored, full)
			continue
		}
		p.flatten(full+".", table)
	}
}

// sorted returns the keys in the order of their lines, for stable messages.
func (p *parsed) sorted() []string {
	names := make([]string, 0, len(p.keys))
	for name := range p.keys {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := p.where.line(names[i]), p.where.line(names[j])
		if a != b {
			return a < b
		}
		return names[i] < names[j]
	})
	return names
}

// merge sets what the file sets. Unknown keys become warnings.
func (c *Config) merge(p *parsed) error {
	for _, name := range p.sorted() {
		from := Origin{Source: FromFile, Name: p.path, Line: p.where.line(name)}
		k, ok := c.known[name]
		if !ok && c.isTable(name) {
			return fmt.Errorf("decode configuration %q: line %d: %s: %w: expected a table, found %s",
				p.path, from.Line, name, errdefs.ErrInvalid, describe(p.keys[name]))
		}
		if !ok {
			c.Warnings = append(c.Warnings, Warning{File: p.path, Line: from.Line, Key: name, Suggestion: c.suggest(name)})
			continue
		}
		s := c.settings[name]
		v, err := k.value(p.keys[name], s.Value)
		if err != nil {
			return fmt.Errorf("decode configuration %q: line %d: %s: %w", p.path, from.Line, name, err)
		}
		if c.systemRootFor(name, p.path, v) {
			s.Overrode = append(s.Overrode, Overridden{Value: v, Origin: from})
			continue
		}
		s.set(v, from)
	}
	slices.Sort(p.ignored)
	for _, name := range p.ignored {
		c.Ignored = append(c.Ignored, Warning{File: p.path, Line: p.where.line(name), Key: name})
	}
	c.Files = append(c.Files, p.path)
	return nil
}

// isTable reports whether known keys lie below name.
func (c *Config) isTable(name string) bool {
	return slices.ContainsFunc(c.order, func(k string) bool { return strings.HasPrefix(k, name+".") })
}

// value checks and converts what the TOML library decoded. old is the value so far, for arrays that append.
func (k key) value(v, old any) (any, error) {
	switch k.kind {
	case kindString:
		if s, ok := v.(string); ok {
			return s, nil
		}
	case kindBool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case kindUint32:
		if n, ok := v.(int64); ok && n >= 0 && n <= 1<<32-1 {
			return uint32(n), nil
		}
	case kindMode:
		if n, ok := v.(int64); ok && n >= 0 && n <= 0o7777 {
			return fmt.Sprintf("%#o", n), nil
		}
	case kindStrings:
		if list, ok := v.([]any); ok {
			return stringList(list, old)
		}
	case kindStringMap:
		if table, ok := v.(map[string]any); ok {
			return stringMap(table)
		}
	}
	return nil, fmt.Errorf("%w: expected %s, found %s", errdefs.ErrInvalid, k.kind, describe(v))
}

// stringList converts an array; an element {append=true} puts it behind the values so far.
func stringList(list []any, old any) ([]string, error) {
	var out []string
	extend := false
	for _, item := range list {
		switch v := item.(type) {
		case string:
			out = append(out, v)
		case map[string]any:
			flag, ok := v["append"].(bool)
			if !ok || len(v) != 1 {
				return nil, fmt.Errorf("%w: the only table allowed in an array is {append=true}", errdefs.ErrInvalid)
			}
			extend = flag
		default:
			return nil, fmt.Errorf("%w: expected %s, found %s in it", errdefs.ErrInvalid, kindStrings, describe(item))
		}
	}
	if before, ok := old.([]string); ok && extend {
		out = append(slices.Clone(before), out...)
	}
	return out, nil
}

func stringMap(table map[string]any) (map[string]string, error) {
	out := map[string]string{}
	for name, v := range table {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%w: %s: expected a string, found %s", errdefs.ErrInvalid, name, describe(v))
		}
		out[name] = s
	}
	return out, nil
}

func describe(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean (quote it?)"
	case int64:
		return "an integer (quote it?)"
	case float64:
		return "a float"
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	default:
		return strings.TrimPrefix(fmt.Sprintf("%T", v), "*")
	}
}
