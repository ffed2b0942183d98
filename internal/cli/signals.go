package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// errInterrupted is the kind of the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// interruption is the signal that ended a context.
type interruption struct{ sig os.Signal }

func (i *interruption) Error() string     { return errInterrupted.Error() }
func (i *interruption) Unwrap() error     { return errInterrupted }
func (i *interruption) Signal() os.Signal { return i.sig }

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP (the terminal is gone)
// cancels, with an *interruption as its cause. From then on signals act as usual, so that a
// second one kills a program that does not come to its end. Below nohup a SIGHUP stays ignored.
func withSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	got := make(chan os.Signal, 1)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(got, syscall.SIGHUP)
	}
	go func() {
		select {
		case sig := <-got:
			signal.Stop(got)
			cancel(&interruption{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		cancel(nil)
	}
}
