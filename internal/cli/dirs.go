package cli

import (
	"context"

	"github.com/stratastore/strata"
)

// dirVerb is a verb that makes and prints a directory for an object.
func dirVerb(v *Verb, kind strata.Kind, dir func(context.Context, *strata.Store, string) (string, error)) *Verb {
	v.Group, v.Objects, v.Min, v.Max = groupData, []strata.Kind{kind}, 1, 1
	v.Run = onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
		path, err := dir(ctx, store, c.ofKind(ctx, store, kind))
		if err != nil {
			return err
		}
		return c.Text(path, path)
	})
	return v
}

func imageDirVerb() *Verb {
	return dirVerb(&Verb{
		Name: "get-image-dir", Aliases: []string{"getimagedir"}, Args: "IMAGE", Summary: "Print a directory for files that belong to an image",
		Examples: []Example{{"Keep a file with an image", "cp notes.txt $(strata get-image-dir debian)/"}},
	}, strata.KindImage, func(ctx context.Context, s *strata.Store, arg string) (string, error) { return s.ImageDir(ctx, arg) })
}

func imageRunDirVerb() *Verb {
	return dirVerb(&Verb{
		Name: "get-image-run-dir", Aliases: []string{"getimagerundir"}, Args: "IMAGE", Summary: "Print a directory for an image's files until reboot",
		Examples: []Example{{"Print the directory", "strata get-image-run-dir debian"}},
	}, strata.KindImage, func(ctx context.Context, s *strata.Store, arg string) (string, error) { return s.ImageRunDir(ctx, arg) })
}

func containerDirVerb() *Verb {
	return dirVerb(&Verb{
		Name: "get-container-dir", Aliases: []string{"getcontainerdir"}, Args: "CONTAINER", Summary: "Print a directory for files that belong to a container",
		Examples: []Example{{"Keep a file with a container", "cp config.json $(strata get-container-dir web)/"}},
	}, strata.KindContainer, func(ctx context.Context, s *strata.Store, arg string) (string, error) {
		return s.ContainerDir(ctx, arg)
	})
}

func containerRunDirVerb() *Verb {
	return dirVerb(&Verb{
		Name: "get-container-run-dir", Aliases: []string{"getcontainerrundir"}, Args: "CONTAINER", Summary: "Print a directory for a container's files until reboot",
		Examples: []Example{{"Print the directory", "strata get-container-run-dir web"}},
	}, strata.KindContainer, func(ctx context.Context, s *strata.Store, arg string) (string, error) {
		return s.ContainerRunDir(ctx, arg)
	})
}
