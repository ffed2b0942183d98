package cli

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stratastore/strata/internal/cli/option"
)

// programName is the command's own name.
const programName = "strata"

// modern is one run in the modern manner. The verbs become cobra commands, which
// read the options and complete them for shells; help, errors and suggestions are
// made here.
type modern struct {
	env     Env
	verbs   []*Verb
	globals *globals
	session *session
	printer *modernPrinter
	root    *cobra.Command
	code    int
}

func newModern(env Env) *modern {
	g := &globals{unshare: env.needsNamespace(), logLevel: "warn", logFormat: "text"}
	m := &modern{env: env, verbs: modernVerbs(), globals: g, session: newSession(env, g, false)}
	m.printer = newModernPrinter(env)
	m.root = m.command()
	return m
}

// run runs the command line and returns the exit code.
func (m *modern) run(ctx context.Context) int {
	words := m.env.Args[1:]
	// Mistakes in options are to be JSON too, and come before --json is read.
	m.printer.json = slices.Contains(words, "--json") || slices.Contains(words, "-j")
	m.root.SetArgs(verbFirst(words, m.verbs, m.globals.modernOptions()))
	if err := m.root.ExecuteContext(ctx); err != nil {
		m.printer.problem("", err)
		return exitCodeOf(err)
	}
	return m.code
}

// command builds the root command with one command per verb.
func (m *modern) command() *cobra.Command {
	root := &cobra.Command{
		Use:           programName,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          m.noSuchVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if m.globals.version {
				return m.start(cmd.Context(), findVerb(m.verbs, "version"), nil)
			}
			return m.generalHelp()
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(m.env.Stdout)
	root.SetErr(m.env.Stderr)
	root.SetIn(m.env.Stdin)
	addOptions(root, root.PersistentFlags(), m.globals.modernOptions())
	root.Flags().BoolVar(&m.globals.version, "version", false, "Print the version")
	root.SetFlagErrorFunc(m.optionMistake)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { m.help(cmd) })
	root.SetHelpCommand(m.helpCommand())
	m.addVerbs(root)
	return root
}

func (m *modern) verbCommand(v *Verb) *cobra.Command {
	cmd := &cobra.Command{
		Use:     lastWord(v.Name),
		Aliases: lastWords(v.Aliases),
		Short:   v.Summary,
		Args:    func(_ *cobra.Command, args []string) error { return m.countMistake(v, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := noStoreNamed(cmd.Flags()); err != nil {
				return err
			}
			return m.start(cmd.Context(), v, args)
		},
		ValidArgsFunction: m.completer(v),
	}
	addOptions(cmd, cmd.Flags(), v.Options)
	cmd.Flags().SetInterspersed(!v.Verbatim)
	return cmd
}

// addOptions makes pflag options of ours. Further long names are there but not shown.
func addOptions(cmd *cobra.Command, flags *pflag.FlagSet, options []option.Option) {
	for _, o := range options {
		for i, name := range o.Long {
			f := &pflag.Flag{Name: name, Value: o.Value, Usage: o.Usage, DefValue: o.Value.String(), Hidden: i > 0}
			if i == 0 {
				f.Shorthand = o.Short
			}
			if o.IsBool() {
				f.NoOptDefVal = "true"
			}
			flags.AddFlag(f)
			completeOption(cmd, o, name)
		}
	}
}

// start runs a verb.
func (m *modern) start(ctx context.Context, v *Verb, args []string) error {
	if err := m.startLog(); err != nil {
		return err
	}
	m.printer.json = m.globals.json
	if !v.NoStore && m.globals.unshare && m.env.needsNamespace() {
		code, err := m.env.again(ctx)
		m.code = code
		return err
	}
	c := &Call{
		Args: args, In: m.env.Stdin, Out: m.env.Stdout, JSON: m.globals.json, Now: m.env.Now(), Terminal: m.env.Terminal,
		Log: m.session.log, env: m.env, printer: m.printer, session: m.session,
		command: &command{verbs: m.verbs, globals: m.globals, complete: m.completionScript},
	}
	m.printer.other = func(arg string, err error) string { return otherKind(ctx, c, m.session.store, arg, err) }
	err := v.Run(ctx, c)
	if err != nil { // looked up before the store is closed
		hint := m.printer.other(c.subject(err), err)
		m.printer.other = func(string, error) string { return hint }
	}
	err = errorsJoin(err, m.session.close(ctx))
	m.code = c.code
	if err != nil {
		m.printer.problem(c.subject(err), err)
		m.code = exitCodeOf(err)
		return nil
	}
	if c.JSON && !c.shown && m.code == exitOK && !v.NoJSON {
		return c.Show(Result{JSON: struct{}{}})
	}
	return nil
}

// startLog makes the logger that the options ask for.
func (m *modern) startLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(m.globals.logLevel)); err != nil {
		return usagef("levels are debug, info, warn and error", "--log-level %s: no such level", quoteWord(m.globals.logLevel))
	}
	if m.globals.debug {
		level = slog.LevelDebug
	}
	if level <= slog.LevelWarn {
		m.session.warn = m.printer.warn
	}
	opts := &slog.HandlerOptions{Level: level}
	switch m.globals.logFormat {
	case "text":
		m.session.log = slog.New(slog.NewTextHandler(m.env.Stderr, opts))
	case "json":
		m.session.log = slog.New(slog.NewJSONHandler(m.env.Stderr, opts))
	default:
		return usagef("formats are text and json", "--log-format %s: no such format", quoteWord(m.globals.logFormat))
	}
	return nil
}

// completionScript writes the script that makes a shell complete the command.
func (m *modern) completionScript(shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return m.root.GenBashCompletionV2(w, true)
	case "zsh":
		return m.root.GenZshCompletion(w)
	case "fish":
		return m.root.GenFishCompletion(w, true)
	}
	return usagef("the shells are bash, zsh and fish", "completion for %s: no such shell", quoteWord(shell))
}
