package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratastore/strata/internal/cli/option"
)

// summary is what the command is, in one line.
const summary = "strata keeps container images, their layers and containers in one store"

func usageLine(v *Verb) string {
	words := []string{programName, v.Name}
	if len(v.Options) > 0 {
		words = append(words, "[options]")
	}
	if v.Args != "" {
		words = append(words, v.Args)
	}
	return strings.Join(words, " ")
}

// help prints the help of a command, for --help, whose function in cobra has no error.
func (m *modern) help(cmd *cobra.Command) {
	if err := m.helpOf(cmd); err != nil {
		m.printer.problem("", err)
		m.code = exitCodeOf(err)
	}
}

func (m *modern) helpOf(cmd *cobra.Command) error {
	v := findVerb(m.verbs, verbName(cmd))
	f, isFamily := findFamily(verbName(cmd))
	switch {
	case isFamily:
		return m.familyHelp(f)
	case v == nil || !cmd.HasParent():
		return m.generalHelp()
	}
	return m.verbHelp(v)
}

// helpCommand is "strata help [COMMAND]".
func (m *modern) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return m.generalHelp()
			}
			name := strings.Join(args, " ")
			if f, ok := findFamily(name); ok {
				return m.familyHelp(f)
			}
			v := findVerb(m.verbs, name)
			if v == nil {
				v = findVerb(m.verbs, args[0])
			}
			if v == nil {
				return usagef(m.verbHint(name), "no help for %q: there is no such command", name)
			}
			return m.verbHelp(v)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, v := range m.verbs {
				names = append(names, cobra.CompletionWithDesc(v.Name, v.Summary))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// generalHelp lists the verbs by group, the global options and the exit codes.
func (m *modern) generalHelp() error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s.\n\nUsage:\n  strata [options] COMMAND [options] [arguments]\n", summary)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n%s:\n", g)
		for _, v := range m.verbs {
			if v.Group == g {
				fmt.Fprintf(&b, "  %-26s %s\n", v.Name, v.Summary)
			}
		}
	}
	fmt.Fprintf(&b, "  %-26s %s\n", "help [COMMAND]", "Explain a command, with examples")
	b.WriteString("\nOptions, before or after the command:\n")
	writeOptions(&b, m.globals.modernOptions())
	b.WriteString("\nExit codes:\n")
	for _, row := range exitCodes() {
		fmt.Fprintf(&b, "  %3d  %s\n", row.code, row)
	}
	b.WriteString("\nBegin with:\n  strata load image.tar\n  strata images\n  strata create-container --name web IMAGE\n  strata mount web\n")
	_, err := m.env.Stdout.Write(b.Bytes())
	return err
}

// verbHelp explains one verb.
func (m *modern) verbHelp(v *Verb) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s.\n\nUsage:\n  %s\n", v.Summary, usageLine(v))
	if v.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", v.Detail)
	}
	if len(v.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso: %s\n", strings.Join(v.Aliases, ", "))
	}
	b.WriteString("\nExamples:\n")
	for _, e := range v.Examples {
		fmt.Fprintf(&b, "  # %s\n  %s\n", e.Purpose, e.Line)
	}
	if len(v.Options) > 0 {
		b.WriteString("\nOptions:\n")
		writeOptions(&b, v.Options)
	}
	b.WriteString("\nOptions of every command:\n")
	writeOptions(&b, m.globals.modernOptions())
	b.WriteString("\n" + exitLine())
	_, err := m.env.Stdout.Write(b.Bytes())
	return err
}

// exitLine is the table of exit codes in short.
func exitLine() string {
	const width = 96
	text, line := "", "Exit codes:"
	for _, row := range exitCodes() {
		item := fmt.Sprintf(" %d %s,", row.code, row.short)
		if len(line)+len(item) > width {
			text, line = text+line+"\n", " "
		}
		line += item
	}
	return text + strings.TrimSuffix(line, ",") + ".\n"
}

// writeOptions prints options as "-n, --name NAME   what it does".
func writeOptions(b *bytes.Buffer, options []option.Option) {
	width := 0
	for _, o := range options {
		width = max(width, len(optionSketch(o)))
	}
	for _, o := range options {
		fmt.Fprintf(b, "  %-*s  %s%s\n", width, optionSketch(o), o.Usage, defaultNote(o))
	}
}

func optionSketch(o option.Option) string {
	sketch := "    "
	if o.Short != "" {
		sketch = "-" + o.Short + ", "
	}
	sketch += "--" + o.Name()
	if arg := argWord(o); arg != "" {
		sketch += " " + arg
	}
	return sketch
}

// argWord stands for the option's value; "" for switches.
func argWord(o option.Option) string {
	switch {
	case o.IsBool():
		return ""
	case o.Arg != "":
		return o.Arg
	}
	return strings.ToUpper(o.Name())
}

func defaultNote(o option.Option) string {
	v := o.Value.String()
	if v == "" || v == "false" || v == "[]" || o.IsBool() {
		return ""
	}
	return fmt.Sprintf(" (%s)", v)
}
