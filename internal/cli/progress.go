package cli

import (
	"context"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/oci"
)

// progress returns what draws bars on standard error while a long verb works, and
// a function that ends the drawing, to be called before anything else is printed.
// Without a terminal nothing is drawn.
func (c *Call) progress(ctx context.Context) (oci.Progress, func()) {
	if !c.Terminal.Err || c.JSON || c.classic() {
		return nil, func() {}
	}
	return newBars(ctx, c.env.Stderr)
}

func newBars(ctx context.Context, w io.Writer) (oci.Progress, func()) {
	b := &bars{p: mpb.NewWithContext(ctx, mpb.WithOutput(w), mpb.WithWidth(barWidth), mpb.WithAutoRefresh())}
	return b, b.finish
}

const (
	barWidth   = 30
	labelWidth = 22
)

// bars shows one line per task.
type bars struct {
	p  *mpb.Progress
	mu sync.Mutex
	// open are the tasks that have not ended; guarded by mu.
	open []*bar
}

// Start implements oci.Progress.
func (b *bars) Start(label string, total int64) oci.Task {
	t := &bar{}
	t.bar = b.p.AddBar(max(total, 0),
		mpb.PrependDecorators(decor.Name(label, decor.WC{W: labelWidth, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(t.caption)),
	)
	if total <= 0 {
		t.bar.SetTotal(0, false)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = append(b.open, t)
	return t
}

// finish ends tasks that nobody ended (after an error) and waits for the drawing.
func (b *bars) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.open {
		t.bar.Abort(false)
	}
	b.p.Wait()
}

// bar is one task.
type bar struct {
	bar *mpb.Bar
	mu  sync.Mutex
	// remark is how the task ended; guarded by mu.
	remark string
}

// Add implements oci.Task.
func (t *bar) Add(n int64) { t.bar.IncrInt64(n) }

// Done implements oci.Task.
func (t *bar) Done(remark string) {
	t.mu.Lock()
	t.remark = remark
	t.mu.Unlock()
	t.bar.SetTotal(-1, true)
}

// caption is the text behind the bar.
func (t *bar) caption(s decor.Statistics) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.remark != "":
		return " " + t.remark
	case s.Total > 0:
		return " " + table.Size(s.Current) + " of " + table.Size(s.Total)
	}
	return " " + table.Size(s.Current)
}
