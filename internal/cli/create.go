package cli

import (
	"bytes"
	"fmt"
	"os"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
)

// created shows what a create verb made: the ID, and the names below it.
func created[ID ~string](id ID, names []string, record any, rich func() (any, error)) Result {
	return Result{
		Text: func(b *bytes.Buffer) {
			fmt.Fprintln(b, id)
			for _, name := range names {
				fmt.Fprintf(b, "\t%s\n", name)
			}
		},
		JSON: record,
		Rich: rich,
	}
}

// checkID refuses an ID from the command line that can not name a directory.
func checkID(id interface{ Validate() error }, text string) error {
	if text == "" {
		return nil // one is made
	}
	return errdefs.WithHint(id.Validate(), "an ID is UTF-8, without slashes, control characters and a dot in front; leave --id out to have one made")
}

// argument returns an optional argument.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// metadataOptions are the options that give a text or a file with it.
type metadataOptions struct{ text, file string }

func (o *metadataOptions) options() []option.Option {
	return []option.Option{
		option.As("TEXT", option.String(&o.text, "metadata,m", "Metadata: any text")),
		option.Files(option.String(&o.file, "metadata-file,f", "Read the metadata from a file")),
	}
}

// read returns the metadata; the file wins.
func (o *metadataOptions) read() (string, error) {
	if o.file == "" {
		return o.text, nil
	}
	data, err := os.ReadFile(o.file)
	return string(data), err
}
