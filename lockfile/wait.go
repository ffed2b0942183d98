package lockfile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Waiting for other processes is polling: a call that blocks in the kernel could
// not be cancelled from Go. The pauses are short, since the other engines block
// in the kernel and take most chances; one attempt costs a microsecond.
const (
	firstPause = 50 * time.Microsecond
	maxPause   = time.Millisecond
	latePause  = 5 * time.Millisecond
	lateAfter  = 10 * time.Second
)

func (l *Lock) acquire(ctx context.Context, m mode) (*Held, error) {
	if err := ctx.Err(); err != nil {
		return nil, l.waitError(err)
	}
	h, err := l.try(m)
	if !errors.Is(err, errBusy) {
		return h, err
	}
	stop := l.watch(m)
	defer stop()
	if err := l.gate.Acquire(ctx, m.weight()); err != nil {
		return nil, l.waitError(err)
	}
	h, err = l.poll(ctx, m)
	if err != nil {
		l.gate.Release(m.weight())
	}
	return h, err
}

// poll locks the file as soon as other processes let go. The caller has passed the gate.
func (l *Lock) poll(ctx context.Context, m mode) (*Held, error) {
	start, pause := time.Now(), firstPause
	for {
		f, err := l.lockFile(m)
		if err == nil {
			return &Held{lock: l, mode: m, file: f}, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, err
		}
		if err := sleep(ctx, jitter(pause)); err != nil {
			return nil, l.waitError(err)
		}
		pause = nextPause(pause, time.Since(start))
	}
}

func nextPause(pause, waited time.Duration) time.Duration {
	if waited > lateAfter {
		return latePause
	}
	return min(2*pause, maxPause)
}

// jitter keeps waiters from trying in step with each other.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (l *Lock) waitError(err error) error { return fmt.Errorf("wait for lock %s: %w", l.path, err) }
