package cli

import (
	"context"
	"slices"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

// unlimited is the Max of a verb that takes any number of arguments.
const unlimited = -1

// Verb is one command of the command line, for both manners.
type Verb struct {
	// Name is the name that help shows; Aliases are also understood. A name of two words,
	// "volume create", is a verb of a family, and so are its aliases.
	Name    string
	Aliases []string
	// Group is the heading in the help.
	Group group
	// Summary is one line without a full stop.
	Summary string
	// Detail is further text for the help of this verb; it may be empty.
	Detail string
	// Args sketches the arguments: "LAYER [BASE]".
	Args string
	// Examples are shown in the help; every verb has one.
	Examples []Example
	// Min and Max count the arguments.
	Min, Max int
	// JSON says that the classic manner has --json for this verb. The modern one
	// has it everywhere.
	JSON bool
	// ModernOnly verbs are about the modern command itself.
	ModernOnly bool
	// NoStore verbs open no store.
	NoStore bool
	// Verbatim verbs take what stands behind the first argument as it is.
	Verbatim bool
	// NoJSON verbs write something else than JSON to standard output in any case.
	NoJSON bool
	// Options are the verb's own.
	Options []option.Option
	// Further are options that the modern manner has and the old command has not.
	Further []option.Option
	// Objects are the kinds of object whose IDs and names complete an argument.
	Objects []strata.Kind
	// Volumes says that arguments are names of volumes; of a verb with a limit only the first.
	Volumes bool
	// Items says that the second argument is a data item of the first, Dirs that it is
	// a directory.
	Items, Dirs bool
	// Words complete the first argument; with Files they are offered beside files.
	Words []string
	// Files says that arguments are file names; with Objects, that they are either, and
	// an object's name stands before a colon.
	Files bool
	// Run does the work. A failure that has been reported through Call.Fail is
	// not returned again.
	Run func(ctx context.Context, c *Call) error
}

// onStore is the Run of a verb that begins with opening the store.
func onStore(run func(ctx context.Context, c *Call, store *strata.Store) error) func(ctx context.Context, c *Call) error {
	return func(ctx context.Context, c *Call) error {
		store, err := c.Store(ctx)
		if err != nil {
			return err
		}
		return run(ctx, c, store)
	}
}

// Example is a command line and what it is for.
type Example struct {
	// Purpose is a sentence without a full stop.
	Purpose string
	// Line is what to type.
	Line string
}

// group is a heading of the general help.
type group string

// The groups in the order of the help.
const (
	groupImages     group = "Images"
	groupContainers group = "Containers"
	groupLayers     group = "Layers"
	groupMounts     group = "Mounts"
	groupVolumes    group = "Volumes"
	groupChanges    group = "Changes and diffs"
	groupNames      group = "Names and metadata"
	groupData       group = "Attached data"
	groupStore      group = "The store"
	groupCommand    group = "This command"
)

func groups() []group {
	return []group{
		groupImages, groupContainers, groupLayers, groupMounts, groupVolumes, groupChanges,
		groupNames, groupData, groupStore, groupCommand,
	}
}

// names lists the verb's name and aliases.
func (v *Verb) names() []string { return append([]string{v.Name}, v.Aliases...) }

// tooMany reports whether n arguments are more than the verb takes.
func (v *Verb) tooMany(n int) bool { return v.Max != unlimited && n > v.Max }

// findVerb looks a verb up by name or alias.
func findVerb(list []*Verb, name string) *Verb {
	i := slices.IndexFunc(list, func(v *Verb) bool { return slices.Contains(v.names(), name) })
	if i < 0 {
		return nil
	}
	return list[i]
}
