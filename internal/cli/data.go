package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/layer"
)

// dataVerb fills in what the verbs about data items have in common. words are
// those of the name; the alias leaves the dashes out.
func dataVerb(kind strata.Kind, v *Verb, words ...string) *Verb {
	v.Name = strings.Join(words, "-")
	v.Aliases = []string{strings.Join(words, "")}
	v.Group, v.Objects = groupData, []strata.Kind{kind}
	arg := strings.ToUpper(kind.String())
	if v.Min == 2 {
		arg += " ITEM"
		v.Items = true
		v.Run = itemHint(kind, v.Run)
	}
	v.Args, v.Max = arg, v.Min
	return v
}

// itemHint has errors about an item say how to see which items there are.
func itemHint(kind strata.Kind, run func(context.Context, *Call) error) func(context.Context, *Call) error {
	return func(ctx context.Context, c *Call) error {
		err := run(ctx, c)
		var file *fs.PathError
		var unknown *strata.UnknownError
		switch {
		case errors.As(err, &unknown) || errors.As(err, &file) && file.Op == "open" && file.Path != c.Args[1] && !strings.HasSuffix(file.Path, "/"+c.Args[1]):
			return err
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, image.ErrSizeUnknown) || errors.Is(err, image.ErrDigestUnknown):
			return errdefs.WithHint(err, fmt.Sprintf("`strata list-%s-data %s` lists the items", kind, quoteWord(c.Args[0])))
		}
		return err
	}
}

func article(kind strata.Kind) string {
	if kind == strata.KindImage {
		return "an image"
	}
	return "a " + kind.String()
}

func listDataVerb(kind strata.Kind) *Verb {
	return dataVerb(kind, &Verb{
		Summary: "List the data items of " + article(kind), Min: 1, JSON: true,
		Examples: []Example{{"List the items", fmt.Sprintf("strata list-%s-data NAME", kind)}},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			items, err := store.ListBigData(ctx, kind, c.ofKind(ctx, store, kind))
			if err != nil {
				return err
			}
			return c.Show(Result{Text: printLines(items), JSON: nilIfEmpty(items), Rich: func() (any, error) { return never(items), nil }})
		}),
	}, "list", kind.String(), "data")
}

// ofKind is the first argument as the name of an object of the kind.
func (c *Call) ofKind(ctx context.Context, store *strata.Store, kind strata.Kind) string {
	if kind == strata.KindImage {
		return c.image(ctx, store, c.Args[0])
	}
	return c.Args[0]
}

func getDataVerb(kind strata.Kind) *Verb {
	file := ""
	return dataVerb(kind, &Verb{
		Summary: "Print a data item of " + article(kind), Min: 2,
		Examples: []Example{{"Keep an item in a file", fmt.Sprintf("strata get-%s-data --file item.bin NAME ITEM", kind)}},
		Options:  []option.Option{option.Files(option.String(&file, "file,f", "Write to a file instead of standard output"))},
		Run:      func(ctx context.Context, c *Call) error { return getData(ctx, c, kind, file) },
	}, "get", kind.String(), "data")
}

func getData(ctx context.Context, c *Call, kind strata.Kind, file string) error {
	if c.JSON && file == "" {
		return c.bulk(file)
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	out, err := c.output(file)
	if err != nil {
		return err
	}
	defer out.abandon()
	data, err := store.BigData(ctx, kind, c.ofKind(ctx, store, kind), c.Args[1])
	if err != nil {
		return err
	}
	if _, err := out.Write(data); err != nil {
		return fmt.Errorf("write item %q of %s %s: %w", c.Args[1], kind, c.Args[0], err)
	}
	if err := out.finish(); err != nil || file == "" {
		return err
	}
	return c.Show(Result{JSON: written{File: file, Bytes: int64(len(data))}})
}

func setDataVerb(kind strata.Kind) *Verb {
	file := ""
	return dataVerb(kind, &Verb{
		Summary: "Attach a data item to " + article(kind), Min: 2,
		Detail:   "The item comes from standard input or --file and replaces one of the same name.",
		Examples: []Example{{"Attach a file", fmt.Sprintf("strata set-%s-data --file notes.txt NAME notes", kind)}},
		Options:  []option.Option{option.Files(option.String(&file, "file,f", "Read from a file instead of standard input"))},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			return setData(ctx, c, store, kind, file)
		}),
	}, "set", kind.String(), "data")
}

// setData looks for the object before it reads, so that nobody who mistyped its name is
// left waiting for standard input.
func setData(ctx context.Context, c *Call, store *strata.Store, kind strata.Kind, file string) error {
	name := c.ofKind(ctx, store, kind)
	if _, err := store.ListBigData(ctx, kind, name); err != nil {
		return err
	}
	in, err := c.input(ctx, file)
	if err != nil {
		return err
	}
	defer in.Close() // read only: nothing to lose
	data, err := readItem(in, maxItem)
	if err != nil {
		return fmt.Errorf("read the item: %w", err)
	}
	return readOnlyLayer(ctx, store, kind, c.Args[0], store.SetBigData(ctx, kind, name, c.Args[1], data))
}

// maxItem is the most bytes of a data item, which goes through memory: 1 GiB. A larger
// one could not be read again either.
const maxItem = 1 << 30

// readItem reads a data item whole.
func readItem(in io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, errdefs.WithHint(fmt.Errorf("more than %d bytes: %w", limit, errdefs.ErrLimit), "what is that large belongs into a layer: `strata help import-layer`")
	}
	return data, err
}

// readOnlyLayer tells a layer that can not be written from one that is not there.
func readOnlyLayer(ctx context.Context, store *strata.Store, kind strata.Kind, arg string, err error) error {
	if kind != strata.KindLayer || !errors.Is(err, layer.ErrUnknown) {
		return err
	}
	if l, findErr := store.Layer(ctx, arg); findErr != nil || !l.ReadOnly {
		return err
	}
	return &readOnlyLayerError{arg}
}

// readOnlyLayerError: the layer is in an additional store.
type readOnlyLayerError struct{ name string }

func (e *readOnlyLayerError) Error() string {
	return fmt.Sprintf("layer %s is in an additional store, which is not written to", e.name)
}

// ReferenceText is the old command's wording.
func (e *readOnlyLayerError) ReferenceText() string {
	return fmt.Sprintf("locating layer with ID %q to write bigdata: %v", e.name, layer.ErrUnknown)
}

func (e *readOnlyLayerError) Unwrap() error { return errdefs.ErrReadOnly }

func dataSizeVerb(kind strata.Kind) *Verb {
	return dataVerb(kind, &Verb{
		Summary: "Print the size of a data item of " + article(kind) + " in bytes", Min: 2,
		Examples: []Example{{"Print the size", fmt.Sprintf("strata get-%s-data-size NAME ITEM", kind)}},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			size, err := store.BigDataSize(ctx, kind, c.ofKind(ctx, store, kind), c.Args[1])
			if err != nil {
				return err
			}
			return c.Text(size, fmt.Sprint(size))
		}),
	}, "get", kind.String(), "data", "size")
}

func dataDigestVerb(kind strata.Kind) *Verb {
	return dataVerb(kind, &Verb{
		Summary: "Print the digest of a data item of " + article(kind), Min: 2,
		Examples: []Example{{"Print the digest of an image's manifest", fmt.Sprintf("strata get-%s-data-digest NAME manifest", kind)}},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			sum, err := store.BigDataDigest(ctx, kind, c.ofKind(ctx, store, kind), c.Args[1])
			if err != nil {
				return err
			}
			return c.Text(sum, sum.String())
		}),
	}, "get", kind.String(), "data", "digest")
}
