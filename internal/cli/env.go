package cli

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/cli/userns"
)

// Env is everything that the command takes from outside. Tests fill it by hand;
// the program uses System.
type Env struct {
	// Args are the words of the command line, the program's name first.
	Args []string
	// Stdin, Stdout and Stderr are the standard streams.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal says which of them are terminals.
	Terminal Terminal
	// Config is the environment for the configuration.
	Config config.Env
	// Now tells the time.
	Now func() time.Time
	// Process holds what is needed to run the program again in a user namespace; nil
	// where that can not be (tests in process).
	Process *Process
}

// Process is the running program as the system knows it.
type Process struct {
	// Executable is its path.
	Executable string
	// Environ is its whole environment.
	Environ []string
	// In, Out and Err are the standard streams.
	In, Out, Err *os.File
}

// Terminal describes the standard streams.
type Terminal struct {
	Out, Err bool
	// Width is the columns of the output terminal; 0 when it is not known.
	Width int
}

// System describes the running process. It is the only place that reads the
// environment for the command.
func System() Env {
	env := Env{
		Args:  os.Args,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: Terminal{
			Out: term.IsTerminal(int(os.Stdout.Fd())),
			Err: term.IsTerminal(int(os.Stderr.Fd())),
		},
		Config: config.SystemEnv(),
		Now:    time.Now,
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		env.Terminal.Width = width
	}
	if path, err := os.Executable(); err == nil {
		env.Process = &Process{Executable: path, Environ: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	}
	if uid, inside := userns.User(os.LookupEnv); inside {
		env.Config = env.Config.ForUser(uid) // the store is that of the user outside
	}
	return env
}

// variable returns an environment variable, "" when it is not set.
func (e Env) variable(name string) string {
	if e.Config.Getenv == nil {
		return ""
	}
	v, _ := e.Config.Getenv(name)
	return v
}
