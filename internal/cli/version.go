package cli

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// referenceVersion is what the classic manner says that it is: the version of the
// library whose command-line reference it keeps to. Scripts may compare it.
const referenceVersion = "1.63.0-dev"

// build describes the program.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuild asks the Go tool's notes in the program.
func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is one line for people.
func (b build) String() string {
	text := "strata " + b.Version
	if b.Revision != "" {
		text += " " + b.Revision
	}
	if b.Modified {
		text += " (modified)"
	}
	return fmt.Sprintf("%s %s %s", text, b.Go, b.Platform)
}

func versionVerb() *Verb {
	return &Verb{
		Name: "version", Group: groupCommand, Summary: "Print the version", JSON: true, NoStore: true,
		Examples: []Example{{"Print the version", "strata version"}},
		Run: func(_ context.Context, c *Call) error {
			if c.classic() {
				return c.Show(Result{
					Text:      func(b *bytes.Buffer) { fmt.Fprintf(b, "Version: %s\n", referenceVersion) },
					JSON:      [][2]string{{"Version", referenceVersion}},
					OldStderr: true,
				})
			}
			b := readBuild()
			return c.Text(b, b.String())
		},
	}
}
