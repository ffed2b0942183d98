package main

import (
	"fmt"
	"os"
	"strings"
)

// step is one instruction with all that follows it.
type step struct {
	line int
	word string // in capitals
	args string
}

func (s step) String() string { return s.word + " " + s.args }

// readRecipe reads a file of instructions.
func readRecipe(path string) ([]step, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	steps, err := parseRecipe(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return steps, nil
}

// parseRecipe takes one instruction a line; a backslash at the end goes on with
// the next line, "#" starts a remark. The first instruction is FROM.
func parseRecipe(text string) ([]step, error) {
	var steps []step
	var pending string
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if pending == "" && (line == "" || strings.HasPrefix(line, "#")) {
			continue
		}
		if rest, more := strings.CutSuffix(line, "\\"); more {
			pending += rest
			continue
		}
		word, args, _ := strings.Cut(pending+line, " ")
		pending = ""
		steps = append(steps, step{i + 1, strings.ToUpper(word), strings.TrimSpace(args)})
	}
	if pending != "" {
		return nil, fmt.Errorf("the last line goes on with nothing: %q", pending)
	}
	return steps, checkOrder(steps)
}

func checkOrder(steps []step) error {
	for i, s := range steps {
		if (s.word == "FROM") != (i == 0) {
			return fmt.Errorf("line %d: FROM has to be there once, as the first instruction", s.line)
		}
	}
	if len(steps) == 0 {
		return fmt.Errorf("no instructions: begin with FROM")
	}
	return nil
}
