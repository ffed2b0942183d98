package cli

import (
	"github.com/stratastore/strata/internal/cli/option"
)

// globals are the options of the whole command.
type globals struct {
	graph, run, imageStore string
	driver                 string
	driverOpts             []string
	transient              bool
	debug                  bool
	unshare                bool
	help                   bool // classic, before the verb

	json      bool // classic: of the verb
	logLevel  string
	logFormat string
	version   bool
}

// storeOptions are the global options that both manners have.
func (g *globals) storeOptions() []option.Option {
	return []option.Option{
		option.Bool(&g.debug, "debug,D", "Log debugging information to standard error"),
		option.Dirs(option.String(&g.graph, "graph,g", "Directory of the store (graph root)")),
		option.Dirs(option.String(&g.imageStore, "image-store", "Separate directory for images and read-only layers")),
		option.Dirs(option.String(&g.run, "run,R", "Directory for what lasts until reboot (run root)")),
		option.OneOf(option.As("DRIVER", option.String(&g.driver, "storage-driver,s", "Storage driver ($STORAGE_DRIVER)")), "overlay", "vfs"),
		option.As("KEY=VALUE", option.List(&g.driverOpts, "storage-opt", "Option for the storage driver, repeatable ($STORAGE_OPTS)")),
		option.Bool(&g.transient, "transient-store", "Keep container records in the run root"),
		option.Bool(&g.unshare, "unshare,U", "Use the store from inside a user namespace; on for ordinary users"),
	}
}

// classicOptions are the global options of the classic manner; --help is one only
// in front of the verb.
func (g *globals) classicOptions() []option.Option { return g.storeOptions() }

func (g *globals) helpOption() option.Option {
	return option.Bool(&g.help, "help", "Print help")
}

// modernOptions are the global options of the modern manner.
func (g *globals) modernOptions() []option.Option {
	return append(g.storeOptions(),
		option.Bool(&g.json, "json,j", "Print results and errors as JSON"),
		option.OneOf(option.As("LEVEL", option.String(&g.logLevel, "log-level", "Least level that is logged: debug, info, warn or error")), "debug", "info", "warn", "error"),
		option.OneOf(option.As("FORMAT", option.String(&g.logFormat, "log-format", "Form of log lines: text or json")), "text", "json"),
	)
}

// jsonOption is the classic manner's option of a verb with JSON.
func (g *globals) jsonOption() option.Option {
	return option.Bool(&g.json, "json,j", "Print JSON")
}

// chosen reports whether the command line names a store of its own, so that the
// classic manner does not ask the configuration for one (command-line reference, 2.1).
func (g *globals) chosen() bool {
	return g.graph != "" || g.run != "" || g.driver != "" || len(g.driverOpts) > 0
}
