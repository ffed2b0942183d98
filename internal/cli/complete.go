package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
)

// completionTime is the longest that a shell is kept waiting for names of objects.
const completionTime = 2 * time.Second

// completeOption tells cobra what an option's value may be.
func completeOption(cmd *cobra.Command, o option.Option, name string) {
	var err error
	switch {
	case len(o.Choices) > 0:
		err = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(o.Choices, cobra.ShellCompDirectiveNoFileComp))
	case o.Dirs:
		err = cmd.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		})
	case !o.Files:
		err = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	if err != nil {
		panic(err) // the option was added a line ago
	}
}

// completer offers the arguments of a verb.
func (m *modern) completer(v *Verb) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case v.tooMany(len(args) + 1):
			return nil, cobra.ShellCompDirectiveNoFileComp
		case v.Files && hasWord(v.Words, prefix):
			return v.Words, cobra.ShellCompDirectiveDefault
		case len(v.Words) > 0 && !v.Files:
			return v.Words, cobra.ShellCompDirectiveNoFileComp
		case v.Volumes && (v.Max == unlimited || len(args) == 0):
			return m.volumeNames(cmd.Context(), args, prefix), cobra.ShellCompDirectiveNoFileComp
		case v.Files:
			return m.operands(cmd.Context(), v, prefix)
		case v.Dirs && len(args) == 1:
			return nil, cobra.ShellCompDirectiveFilterDirs
		case v.Items && len(args) == 1:
			return m.items(cmd.Context(), v.Objects[0], args[0]), cobra.ShellCompDirectiveNoFileComp
		}
		return m.objects(cmd.Context(), v.Objects, args, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// hasWord reports whether one of words begins with prefix, which is not empty: an
// empty one is for the files.
func hasWord(words []string, prefix string) bool {
	return prefix != "" && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, prefix) })
}

// withStore lets ask look at the store, briefly. It never makes one: without a store
// there is nothing to offer, and nobody to tell of what went wrong.
func (m *modern) withStore(ctx context.Context, ask func(context.Context, *strata.Store)) {
	cfg, err := m.session.config()
	if err != nil {
		return
	}
	if _, err := os.Stat(cfg.GraphRoot()); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	store, err := m.session.open(ctx)
	if err != nil {
		return
	}
	defer func() { _ = m.session.close(ctx) }()
	ask(ctx, store)
}

// objects lists the names, and the IDs of what has no name, that begin with prefix.
func (m *modern) objects(ctx context.Context, kinds []strata.Kind, given []string, prefix string) []cobra.Completion {
	if len(kinds) == 0 {
		return nil
	}
	var snap *strata.Snapshot
	m.withStore(ctx, func(ctx context.Context, store *strata.Store) { snap, _ = store.Snapshot(ctx) })
	if snap == nil {
		return nil
	}
	var words []cobra.Completion
	for _, o := range snapshotObjects(snap, kinds) {
		for _, word := range o.words(prefix) {
			if !slices.Contains(given, word) {
				words = append(words, cobra.CompletionWithDesc(word, o.kind.String()))
			}
		}
	}
	return words
}

// operands completes what is a file, or an object with a colon and a path in it.
// Where no object begins that way, the shell completes files.
func (m *modern) operands(ctx context.Context, v *Verb, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(v.Objects) == 0 || prefix == "" || strings.ContainsAny(prefix, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	words := m.objects(ctx, v.Objects, nil, prefix)
	for i, word := range words {
		name, kind, _ := strings.Cut(word, "\t")
		words[i] = cobra.CompletionWithDesc(name+":/", kind)
	}
	if len(words) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return words, cobra.ShellCompDirectiveNoSpace
}

// items lists the data items of an object.
func (m *modern) items(ctx context.Context, kind strata.Kind, name string) (items []cobra.Completion) {
	m.withStore(ctx, func(ctx context.Context, store *strata.Store) {
		items, _ = store.ListBigData(ctx, kind, name) // without an answer there is nothing to offer
	})
	return items
}

// named is what completion needs of an object.
type named struct {
	kind  strata.Kind
	id    string
	names []string
}

// words are the ways to name the object that begin with prefix: its names, or
// its short ID if it has none; the whole ID once a longer piece of it is typed.
func (n named) words(prefix string) []string {
	var words []string
	for _, name := range n.names {
		if strings.HasPrefix(name, prefix) {
			words = append(words, name)
		}
	}
	id := table.ShortID(n.id)
	if len(prefix) > len(id) {
		id = n.id
	}
	if (len(n.names) == 0 || prefix != "") && strings.HasPrefix(id, prefix) {
		words = append(words, id)
	}
	return words
}

func snapshotObjects(snap *strata.Snapshot, kinds []strata.Kind) []named {
	var list []named
	for _, kind := range kinds {
		switch kind {
		case strata.KindLayer:
			for _, l := range snap.Layers {
				list = append(list, named{kind, string(l.ID), l.Names})
			}
		case strata.KindImage:
			for _, i := range snap.Images {
				list = append(list, named{kind, string(i.ID), i.Names})
			}
		case strata.KindContainer:
			for _, c := range snap.Containers {
				list = append(list, named{kind, string(c.ID), c.Names})
			}
		}
	}
	return list
}
