package cli

import (
	"context"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

func allKinds() []strata.Kind {
	return []strata.Kind{strata.KindContainer, strata.KindImage, strata.KindLayer}
}

func getNamesVerb() *Verb {
	return &Verb{
		Name: "get-names", Aliases: []string{"getnames"}, Group: groupNames, Summary: "Print the names of a layer, image or container",
		Args: "NAME", Min: 1, Max: 1, JSON: true,
		Examples: []Example{{"Print all names of an image", "strata get-names debian"}},
		Objects:  allKinds(),
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			names, err := store.Names(ctx, c.object(ctx, store, c.Args[0]))
			if err != nil {
				return err
			}
			return c.Text(never(names), names...)
		}),
	}
}

// namesVerb is one of the three verbs that change the names of an object.
func namesVerb(v *Verb, change func(context.Context, *strata.Store, string, []string) ([]string, error)) *Verb {
	var names []string
	v.Group, v.Args, v.Min, v.Max, v.JSON = groupNames, "NAME", 1, unlimited, true
	v.Options = []option.Option{option.List(&names, "name,n", "Name, repeatable")}
	v.Objects = allKinds()
	v.Run = func(ctx context.Context, c *Call) error {
		if err := checkNames(c, v, names); err != nil {
			return err
		}
		store, err := c.Store(ctx)
		if err != nil {
			return err
		}
		list, err := change(ctx, store, c.object(ctx, store, c.Args[0]), names)
		if err != nil {
			return err
		}
		return c.Show(Result{JSON: nilIfEmpty(list), Rich: func() (any, error) { return never(list), nil }})
	}
	return v
}

// checkNames deals with arguments behind the first one. The old command ignores
// them, also when they are options that came too late.
func checkNames(c *Call, v *Verb, names []string) error {
	if len(c.Args) == 1 {
		if len(names) == 0 && v.Name != "set-names" && !c.classic() {
			return usagef("give a name with --name", "%s has no names to work with", v.Name)
		}
		return nil
	}
	if !c.classic() {
		return usagef("names are given with --name: `strata "+v.Name+" "+c.Args[0]+" --name "+c.Args[1]+"`", "%s takes one argument, got %d", v.Name, len(c.Args))
	}
	if v.Name == "set-names" {
		c.Warn("only the first argument counts, and options come before it; the others are ignored")
	}
	return nil
}

func nilIfEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func addNamesVerb() *Verb {
	return namesVerb(&Verb{
		Name: "add-names", Aliases: []string{"addnames"}, Summary: "Add names to a layer, image or container",
		Detail: "New names go in front. A name that another object of the kind has moves to this one.",
		Examples: []Example{
			{"Tag an image", "strata add-names --name localhost/app:stable localhost/app:1.2"},
		},
	}, func(ctx context.Context, s *strata.Store, arg string, names []string) ([]string, error) {
		return s.AddNames(ctx, arg, names)
	})
}

func removeNamesVerb() *Verb {
	return namesVerb(&Verb{
		Name: "remove-names", Aliases: []string{"removenames"}, Summary: "Take names away from a layer, image or container",
		Examples: []Example{{"Remove a tag and keep the image", "strata remove-names --name localhost/app:old localhost/app:1.2"}},
	}, func(ctx context.Context, s *strata.Store, arg string, names []string) ([]string, error) {
		return s.RemoveNames(ctx, arg, names)
	})
}

func setNamesVerb() *Verb {
	return namesVerb(&Verb{
		Name: "set-names", Aliases: []string{"setnames"}, Summary: "Replace all names of a layer, image or container",
		Detail:   "Without --name all names are removed.",
		Examples: []Example{{"Give a container one name", "strata set-names --name web CONTAINER"}},
	}, func(ctx context.Context, s *strata.Store, arg string, names []string) ([]string, error) {
		return s.SetNames(ctx, arg, names)
	})
}
