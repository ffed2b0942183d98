package cli

import (
	"context"
	"fmt"
	"path/filepath"
)

// Run runs one command line and returns the exit code. The program's name
// chooses the manner. SIGINT, SIGTERM and SIGHUP cancel the work; a second one kills.
func Run(ctx context.Context, env Env) int {
	if err := resume(env); err != nil {
		_, _ = fmt.Fprintln(env.Stderr, err) // nobody is left to tell
		return exitFailure
	}
	ctx, stop := withSignals(ctx)
	defer stop()
	return run(ctx, env)
}

func run(ctx context.Context, env Env) int {
	if filepath.Base(env.Args[0]) == classicName {
		return newClassic(env).run(ctx)
	}
	return newModern(env).run(ctx) //nolint:contextcheck // cobra hands the context to the commands
}
