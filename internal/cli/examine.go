package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stratastore/strata"
)

// examineVerb is what layer, image and container have in common: each argument
// is looked up, and those that are there are shown together. The old command
// skips the others without a word.
func examineVerb[T any](v *Verb, look func(context.Context, *Call, *strata.Store, string) (T, error), show func(context.Context, *strata.Store, []T) (Result, error)) *Verb {
	v.Min, v.Max, v.JSON = 1, unlimited, true
	v.Run = onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
		var found []T
		for _, arg := range c.Args {
			object, err := look(ctx, c, store, arg)
			if err != nil {
				c.Fail(Failure{Arg: arg, Err: err})
				continue
			}
			found = append(found, object)
		}
		r, err := show(ctx, store, found)
		if err != nil {
			return err
		}
		return c.Show(r)
	})
	return v
}

// never returns a list that is not nil, for JSON.
func never[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// sized is an object with the outcome of asking for its size.
type sized[T any] struct {
	object T
	size   int64
	err    error
}

func (s sized[T]) write(b *bytes.Buffer) {
	if s.err != nil {
		fmt.Fprintf(b, "Size unknown: %s\n", classicText(s.err))
		return
	}
	fmt.Fprintf(b, "Size: %d\n", s.size)
}

func (s sized[T]) derived() []member {
	if s.err != nil {
		return nil
	}
	return []member{{"size", s.size}}
}
