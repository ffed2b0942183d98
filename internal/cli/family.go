package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// family is the first word of verbs of two words.
type family struct {
	name string
	// summary is one line without a full stop.
	summary string
	// begin are examples for the family's help.
	begin []string
}

// families are the first words of verbs that have two, in the order of the help.
func families() []family {
	return []family{
		{"volume", "Look after volumes", []string{
			"strata volume create data", "strata volume create --driver ontop --opt base=/srv/site --opt volatile=yes preview",
			"ls $(strata volume mount data)", "strata volume unmount data",
		}},
		{"driver", "Offer storage drivers to other programs", []string{
			"strata driver serve --driver vfs --socket /run/docker/plugins/plain.sock", "strata --storage-driver plain --graph /srv/store images",
		}},
	}
}

// findFamily looks a family up by its word.
func findFamily(name string) (family, bool) {
	for _, f := range families() {
		if f.name == name {
			return f, true
		}
	}
	return family{}, false
}

// members are the verbs of a family.
func (f family) members(list []*Verb) []*Verb {
	var members []*Verb
	for _, v := range list {
		if first, _, ok := strings.Cut(v.Name, " "); ok && first == f.name {
			members = append(members, v)
		}
	}
	return members
}

// lastWord is a verb's name inside its family.
func lastWord(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

func lastWords(names []string) []string {
	var words []string
	for _, name := range names {
		words = append(words, lastWord(name))
	}
	return words
}

// verbName is the name of the verb that a command is.
func verbName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), programName+" ")
}

// addVerbs adds a command for each verb, those of a family below the family's.
func (m *modern) addVerbs(root *cobra.Command) {
	parents := map[string]*cobra.Command{}
	for _, f := range families() {
		if len(f.members(m.verbs)) == 0 {
			continue
		}
		cmd := &cobra.Command{
			Use: f.name, Short: f.summary,
			Args: func(_ *cobra.Command, args []string) error { return m.noSuchMember(f, args) },
			RunE: func(*cobra.Command, []string) error { return m.familyHelp(f) },
		}
		parents[f.name] = cmd
		root.AddCommand(cmd)
	}
	for _, v := range m.verbs {
		parent := root
		if first, _, ok := strings.Cut(v.Name, " "); ok {
			parent = parents[first]
		}
		parent.AddCommand(m.verbCommand(v))
	}
}

// noSuchMember is the argument check of a family: whatever comes there is not a verb of it.
func (m *modern) noSuchMember(f family, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, v := range f.members(m.verbs) {
		names = append(names, lastWords(v.names())...)
	}
	hint := fmt.Sprintf("`strata help %s` lists the commands", f.name)
	if best := suggest(args[0], names); best != "" {
		hint = fmt.Sprintf("did you mean `strata %s %s`? %s", f.name, best, hint)
	}
	return usagef(hint, "unknown command \"%s %s\"", f.name, args[0])
}

// familyHelp lists the verbs of a family.
func (m *modern) familyHelp(f family) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s.\n\nUsage:\n  strata %s COMMAND [options] [arguments]\n\nCommands:\n", f.summary, f.name)
	for _, v := range f.members(m.verbs) {
		fmt.Fprintf(&b, "  %-22s %s\n", v.Name, v.Summary)
	}
	fmt.Fprintf(&b, "\nBegin with:\n  %s\n\n`strata help %s COMMAND` explains a command, with examples.\n", strings.Join(f.begin, "\n  "), f.name)
	_, err := m.env.Stdout.Write(b.Bytes())
	return err
}

func isFamily(word string) bool {
	_, ok := findFamily(word)
	return ok
}

// familyMembers are a family's verbs as they are called behind its word.
func familyMembers(word string, list []*Verb) []*Verb {
	f, _ := findFamily(word)
	var members []*Verb
	for _, v := range f.members(list) {
		members = append(members, &Verb{Name: lastWord(v.Name), Aliases: lastWords(v.Aliases)})
	}
	return members
}
