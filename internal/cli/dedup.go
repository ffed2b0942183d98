package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
)

func dedupVerb() *Verb {
	method := "crc"
	return &Verb{
		Name: "dedup", Group: groupStore, Summary: "Let equal files of different layers share their place on the disk", JSON: true,
		Detail: "This needs a file system with reflinks, such as xfs or btrfs. The kernel compares the files byte by byte and shares\n" +
			"what is equal; contents and attributes stay as they are. Whichever way candidates are found, the result is the\n" +
			"same. The number of bytes is what is saved in all, not only what this run added.",
		Examples: []Example{{"Share the data of equal files", "strata dedup"}},
		Options: []option.Option{option.OneOf(option.As("METHOD",
			option.String(&method, "hash-method", "How candidates are found: crc, sha256, or size, which reads least")), "crc", "sha256", "size")},
		Run: func(ctx context.Context, c *Call) error { return dedup(ctx, c, method) },
	}
}

func dedup(ctx context.Context, c *Call, method string) error {
	methods := map[string]strata.DedupMethod{"crc": strata.DedupCRC, "sha256": strata.DedupSHA256, "size": strata.DedupSize}
	m, known := methods[method]
	if !known {
		return usagef("the methods are crc, sha256 and size", "invalid hash method: %s", method)
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	opts := strata.DedupOptions{Method: m}
	show, done := c.reading(ctx, "compare")
	if show != nil {
		opts.Progress = func(p strata.DedupProgress) { show(strata.VerifyProgress{Bytes: p.Bytes, Total: p.Total}) }
	}
	report, err := store.Dedup(ctx, opts)
	done()
	if c.classic() && errors.Is(err, errdefs.ErrUnsupported) {
		report, err = &strata.DedupReport{}, nil // the old command saves nothing then, and is content
	}
	if err != nil {
		return err
	}
	return c.Show(dedupResult(report))
}

// dedupJSON is the report of dedup in the modern manner's JSON; sizes are in bytes.
type dedupJSON struct {
	Deduped int64 `json:"deduped"`
	New     int64 `json:"new"`
	Shared  int   `json:"shared-files"`
	Files   int   `json:"files"`
	Layers  int   `json:"layers"`
}

func dedupResult(r *strata.DedupReport) Result {
	return Result{
		Text: func(b *bytes.Buffer) { fmt.Fprintf(b, "Deduplicated %d bytes\n", r.Bytes) },
		Notes: []string{fmt.Sprintf("Deduplicated %s, of which %s new: %s of %d in %s", table.Size(r.Bytes), table.Size(r.New),
			count(r.Shared, "file"), r.Files, count(r.Layers, "layer"))},
		JSON: struct{ Deduped int64 }{r.Bytes},
		Rich: func() (any, error) { return dedupJSON{r.Bytes, r.New, r.Shared, r.Files, r.Layers}, nil },
	}
}
