package config

import (
	"io"
	"strings"
)

// limited reads one byte more than is allowed, so that the caller can tell.
func limited(r io.Reader) io.Reader { return io.LimitReader(r, maxFile+1) }

// locator knows on which line of a TOML text each key is set. The TOML library
// checks the syntax but keeps no positions, so this only has to follow valid text.
type locator map[string]int

// line returns the line of the key, or of the nearest table around it; 0 if neither is in the text.
func (l locator) line(name string) int {
	for {
		if n, ok := l[name]; ok {
			return n
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return 0
		}
		name = name[:dot]
	}
}

func newLocator(text string) locator {
	l := locator{}
	table, skip := "", newSkipper()
	for i, line := range strings.Split(text, "\n") {
		inside := skip.inside()
		skip.feed(line)
		trimmed := strings.TrimSpace(line)
		switch {
		case inside || trimmed == "" || trimmed[0] == '#':
		case trimmed[0] == '[':
			table = joinKey("", keyParts(strings.Trim(trimmed, "[")))
			l.note(table, i+1)
		default:
			l.note(joinKey(table, keyParts(trimmed)), i+1)
		}
	}
	return l
}

func (l locator) note(name string, line int) {
	if _, ok := l[name]; !ok && name != "" {
		l[name] = line
	}
}

func joinKey(table string, parts []string) string {
	name := strings.Join(parts, ".")
	if table == "" {
		return name
	}
	return table + "." + name
}

// keyParts reads the dotted, possibly quoted key at the start of a line, up to "=" or "]".
func keyParts(s string) []string {
	var parts []string
	var part strings.Builder
	var quote rune
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			part.WriteRune(r)
		case r == '"' || r == '\'':
			quote = r
		case r == '.':
			parts = append(parts, part.String())
			part.Reset()
		case r == '=' || r == ']':
			return append(parts, part.String())
		case r != ' ' && r != '\t':
			part.WriteRune(r)
		}
	}
	return append(parts, part.String())
}

// skipper follows brackets and strings over lines, to know which lines only continue a value.
type skipper struct {
	depth int
	quote string
}

func newSkipper() *skipper { return &skipper{} }

func (s *skipper) inside() bool { return s.depth > 0 || s.quote != "" }

func (s *skipper) feed(line string) {
	header := !s.inside() && strings.HasPrefix(strings.TrimSpace(line), "[")
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		switch {
		case s.quote != "":
			if s.quote[0] == '"' && rest[0] == '\\' {
				i++
			} else if strings.HasPrefix(rest, s.quote) {
				i += len(s.quote) - 1
				s.quote = ""
			}
		case strings.HasPrefix(rest, `"""`), strings.HasPrefix(rest, "'''"):
			s.quote = rest[:3]
			i += 2
		case rest[0] == '"' || rest[0] == '\'':
			s.quote = rest[:1]
		case rest[0] == '#':
			i = len(line)
		case header:
		case rest[0] == '[' || rest[0] == '{':
			s.depth++
		case rest[0] == ']' || rest[0] == '}':
			s.depth--
		}
	}
	if len(s.quote) == 1 {
		s.quote = "" // single-line strings end with their line
	}
}
