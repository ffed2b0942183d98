package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"text/template"

	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/volume"
)

func formatOption(p *string) option.Option {
	return option.As("TEMPLATE", option.String(p, "format", "Print each volume by a Go template such as '{{.Name}} {{.Driver}}', or as a line of JSON for json"))
}

// volumeView is what a template sees of a volume.
type volumeView struct{ volume.Volume }

// Label returns the value of one label, for {{.Label "key"}}.
func (v volumeView) Label(key string) string { return v.Labels[key] }

// Links is how many use the volume.
func (v volumeView) Links() int { return len(v.References) }

// formatVolumes prints each volume by a template, one per line.
func formatVolumes(format string, list []volume.Volume) (Result, error) {
	t, err := volumeTemplate(format)
	if err != nil {
		return Result{}, err
	}
	var all bytes.Buffer
	for _, v := range list {
		if err := t.Execute(&all, volumeView{v}); err != nil {
			return Result{}, usagef("the fields are those of `strata volume inspect`", "--format %s: %v", quoteWord(format), err)
		}
		all.WriteByte('\n')
	}
	return Result{JSON: list, Text: func(b *bytes.Buffer) { b.Write(all.Bytes()) }}, nil
}

func volumeTemplate(format string) (*template.Template, error) {
	if format == "json" {
		format = "{{json .}}"
	}
	if strings.HasPrefix(format, "table ") {
		return nil, usagef("a terminal gets a table without --format", "--format %s: tables have no template here", quoteWord(format))
	}
	text := strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	functions := template.FuncMap{"json": func(value any) (string, error) {
		if v, ok := value.(volumeView); ok {
			value = v.Volume
		}
		text, err := json.Marshal(value)
		return string(text), err
	}}
	t, err := template.New("--format").Funcs(functions).Parse(text)
	if err != nil {
		return nil, usagef("templates are those of the Go package text/template", "--format %s: %v", quoteWord(format), err)
	}
	return t, nil
}
