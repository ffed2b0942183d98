package strata

import (
	"runtime/debug"
	"strings"
)

// modulePath is this module's, as the Go tool notes it in programs.
const modulePath = "github.com/stratastore/strata"

// Version returns the version of this library in the running program, such as "v1.2.3";
// "(devel)" when the program was built from a working copy or does not say.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == modulePath && strings.HasPrefix(m.Version, "v") {
			return m.Version
		}
	}
	return "(devel)"
}
