package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

// checkFlags are the options of check.
type checkFlags struct {
	max                         string
	quick, repair, force, trash bool
}

func checkVerb() *Verb {
	f := &checkFlags{max: "24h"}
	noTrash := false
	return &Verb{
		Name: "check", Group: groupStore, Summary: "Look for damage in the store, and repair it on request", JSON: true,
		Detail: "Reads everything and changes nothing; other programs can use the store meanwhile. Each finding is shown with\n" +
			"its object, the bytes concerned and the repair that would cure it. With --repair that is done, object by object;\n" +
			"what has to be removed goes to a dated folder below strata/trash of the graph root. Containers stay without\n" +
			"--force. The exit code is 6 when there is damage, and 1 when there are only leftovers.",
		Examples: []Example{
			{"Look for damage", "strata check"},
			{"Look only at records, names and sizes, which takes seconds", "strata check --quick"},
			{"Repair what can be repaired, and remove what can not", "strata check --repair"},
		},
		Options: []option.Option{
			option.As("AGE", option.String(&f.max, "max,m", "Age from which layers that nothing needs are reported, like 24h or 7d")),
			option.Bool(&f.repair, "repair,r", "Repair what is found; damaged images and layers that can not be repaired are removed"),
			option.Bool(&f.force, "force,f", "Repair, and also remove damaged containers"),
			option.Bool(&f.quick, "quick,q", "Do not read the contents of layers"),
		},
		Further: []option.Option{option.Bool(&noTrash, "no-trash", "Delete what is removed instead of keeping it below strata/trash")},
		Run: func(ctx context.Context, c *Call) error {
			f.repair, f.trash = f.repair || f.force, !noTrash
			if c.classic() {
				return oldCheck(ctx, c, f)
			}
			return check(ctx, c, f)
		},
	}
}

// options are those of the library. Layers count as unneeded from the age on; 0
// reports them at once.
func (f *checkFlags) options(age time.Duration) strata.CheckOptions {
	return strata.CheckOptions{Quick: f.quick, UnreferencedAfter: max(age, time.Nanosecond)}
}

func check(ctx context.Context, c *Call, f *checkFlags) error {
	age, err := parseAge("--max", f.max)
	if err != nil {
		return err
	}
	store, err := c.Examine(ctx)
	if err != nil {
		return err
	}
	opts := f.options(age)
	progress, done := c.reading(ctx, "Checking")
	opts.Progress = progress
	report, err := store.Check(ctx, opts)
	done()
	if err != nil {
		return err
	}
	if f.repair {
		return repair(ctx, c, store, report, f)
	}
	if err := c.Show(checkResult(report)); err != nil {
		return err
	}
	c.failFindings(report.Findings, "`strata check --repair` repairs what can be repaired; read `strata help check` first")
	return nil
}

// parseAge reads a span of time; days and weeks are written 7d and 2w.
func parseAge(option, text string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		number, is := strings.CutSuffix(text, unit)
		n, err := strconv.ParseUint(number, 10, 16)
		if is && err == nil {
			return time.Duration(n) * length, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, usagef("an age is a number with a unit, like 90m, 24h, 7d or 2w", "%s %s: not an age", option, quoteWord(text))
	}
	return d, nil
}

// reading returns what draws one bar for a verb that reads the store, and a
// function that ends the drawing.
func (c *Call) reading(ctx context.Context, label string) (func(strata.VerifyProgress), func()) {
	bars, done := c.progress(ctx)
	if bars == nil {
		return nil, done
	}
	bar := &readingBar{start: func(total int64) barTask { return bars.Start(label, total) }}
	return bar.show, func() { bar.end(); done() }
}

// barTask is what readingBar needs of a bar.
type barTask interface {
	Add(n int64)
	Done(remark string)
}

// readingBar turns the state of a reading into steps of a bar.
type readingBar struct {
	start func(total int64) barTask
	task  barTask
	bytes int64
}

func (b *readingBar) show(p strata.VerifyProgress) {
	if b.task == nil {
		b.task = b.start(p.Total)
	}
	b.task.Add(p.Bytes - b.bytes)
	b.bytes = p.Bytes
}

func (b *readingBar) end() {
	if b.task != nil {
		b.task.Done("done")
	}
}
