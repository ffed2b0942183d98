package cli

import (
	"context"
	"errors"
	"os/exec"

	"github.com/stratastore/strata/internal/cli/userns"
)

// needsNamespace reports whether a store has to be used from inside of a user
// namespace, and the process is not in one.
func (e Env) needsNamespace() bool {
	return e.Process != nil && e.Config.UID != 0 && e.Config.Rootless && !userns.Inside(e.Config.Getenv)
}

// resume goes on with a process that was started for a user namespace.
func resume(env Env) error {
	if env.Process == nil {
		return nil
	}
	return userns.Resume(env.Config.Getenv, env.Args, env.Process.Environ)
}

// again runs the same command line inside of a user namespace.
func (e Env) again(ctx context.Context) (code int, err error) {
	p := e.Process
	return userns.Run(ctx, userns.Program{Path: p.Executable, Args: e.Args, Env: p.Environ, Stdin: p.In, Stdout: p.Out, Stderr: p.Err})
}

func unshareVerb() *Verb {
	return &Verb{
		Name: "unshare", Group: groupCommand, Summary: "Run a program in a user namespace in which the user is root",
		Args: "[PROGRAM [ARGUMENT...]]", Max: unlimited, NoStore: true, NoJSON: true, Verbatim: true, Files: true,
		Detail: "What this command mounts for an ordinary user is seen in the namespace of that call only; inside of this\n" +
			"one it stays. Without PROGRAM the shell runs. Options for the program need no --.",
		Examples: []Example{
			{"Look into a container as an ordinary user", "strata unshare sh -c 'ls $(strata mount web)'"},
		},
		Run: unshare,
	}
}

func unshare(ctx context.Context, c *Call) error {
	if c.env.Process == nil {
		return errors.New("no program to run again")
	}
	if !userns.Inside(c.env.Config.Getenv) {
		code, err := c.env.again(ctx)
		if err == nil && code != exitOK {
			c.Exit(exitFailure) // the program in the namespace has said why
		}
		return err
	}
	return c.program(ctx)
}

// program runs the program of the arguments, or the shell.
func (c *Call) program(ctx context.Context) error {
	words := c.Args
	if len(words) == 0 {
		words = []string{c.env.variable("SHELL")}
		if words[0] == "" {
			words[0] = "/bin/sh"
		}
	}
	p := c.env.Process
	cmd := exec.Command(words[0], words[1:]...) // it gets the terminal's signals itself
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Environ, p.In, p.Out, p.Err
	if err := cmd.Run(); err != nil {
		return &programError{err}
	}
	return ctx.Err()
}

// programError says that a program could not be run or failed.
type programError struct{ error }

func (e *programError) Unwrap() error { return e.error }
func (e *programError) Hint() string {
	if errors.Is(e.error, exec.ErrNotFound) {
		return "give its path, or look at $PATH"
	}
	return ""
}
