package cli

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata/oci"
)

// TestProgress draws tasks that end, tasks that do not, and one of unknown size.
func TestProgress(t *testing.T) {
	var b syncBuffer
	p, finish := newBars(t.Context(), &b)
	done := p.Start("layer 1", 100)
	done.Add(50)
	done.Done("already there")
	p.Start("layer 2", -1).Add(1234)
	p.Start("layer 3", 10)
	finish()
	// Without a terminal the lines are cut at the width of the bar.
	for _, want := range []string{"layer 1", "alread", "layer 2", "1.2 kB", "layer 3", "0 B of"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not drawn:\n%s", want, b.String())
		}
	}
}

// TestProgressCancelled makes sure that an interrupted verb does not wait for its bars.
func TestProgressCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	p, finish := newBars(ctx, &syncBuffer{})
	p.Start("layer", 100).Add(1)
	cancel(errors.New("interrupted"))
	finish()
}

func TestNoProgressInPipes(t *testing.T) {
	for _, terminal := range []Terminal{{}, {Out: true}} {
		c := &Call{Terminal: terminal, printer: &modernPrinter{}}
		var p oci.Progress
		if p, _ = c.progress(t.Context()); p != nil {
			t.Errorf("%+v has progress", terminal)
		}
	}
}

// syncBuffer is written by the drawing goroutine.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
