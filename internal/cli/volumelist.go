package cli

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/volume"
)

func volumeListVerb() *Verb {
	var filters []string
	var quiet bool
	var format string
	return volumeVerb(&Verb{
		Name: "volume ls", Aliases: []string{"volume list"}, Summary: "List the volumes",
		Detail: "All drivers are asked, plugins too; one that does not answer gives a warning, and its volumes as they are known.\n" +
			"A filter is driver=NAME, dangling=true (nobody uses it), label=KEY or label=KEY=VALUE, or name=TEXT, which may\n" +
			"also be a regular expression. Several names or drivers widen the choice, several labels narrow it.",
		Examples: []Example{
			{"List the volumes", "strata volume ls"},
			{"Print the names of those that nobody uses", "strata volume ls --quiet --filter dangling=true"},
			{"Choose what is printed", "strata volume ls --format '{{.Name}} {{.Mountpoint}}'"},
		},
		Options: []option.Option{
			option.As("KEY=VALUE", option.List(&filters, "filter,f", "Only the volumes that match, repeatable")),
			option.Bool(&quiet, "quiet,q", "Print only the names"),
			formatOption(&format),
		},
		Run: withVolumes(true, func(ctx context.Context, c *Call, v *volumes) error {
			args, err := filterArguments(filters)
			if err != nil {
				return err
			}
			filter, err := volume.ListFilter(args)
			if err != nil {
				return err
			}
			found, err := v.Find(ctx, filter)
			if err != nil {
				return err
			}
			for _, w := range found.Warnings {
				c.Warn(w.Error())
			}
			if format != "" && !quiet {
				return showFormatted(c, format, never(found.Volumes))
			}
			return c.Show(volumeList(c, never(found.Volumes), quiet))
		}),
	})
}

func showFormatted(c *Call, format string, list []volume.Volume) error {
	r, err := formatVolumes(format, list)
	if err != nil {
		return err
	}
	return c.Show(r)
}

// filterArguments reads the values of --filter; only the first equals sign counts.
func filterArguments(filters []string) (map[string][]string, error) {
	args := map[string][]string{}
	for _, text := range filters {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, usagef("filters are given as --filter KEY=VALUE", "--filter %s: there is no value", quoteWord(text))
		}
		args[key] = append(args[key], value)
	}
	return args, nil
}

// volumeList shows volumes; lines for programs are name and driver with a tab between.
func volumeList(c *Call, list []volume.Volume, quiet bool) Result {
	r := Result{
		JSON: list,
		Text: func(b *bytes.Buffer) {
			for _, v := range list {
				if quiet {
					fmt.Fprintln(b, v.Name)
				} else {
					fmt.Fprintf(b, "%s\t%s\n", v.Name, v.Driver)
				}
			}
		},
	}
	if !quiet {
		r.Table = func() (*table.Table, error) { return volumeTable(c, list), nil }
	}
	return r
}

func volumeTable(c *Call, list []volume.Volume) *table.Table {
	t := table.New("NAME", "DRIVER", "USERS", "CREATED", "WHERE")
	for _, v := range list {
		t.Row(table.ShortID(v.Name), v.Driver, volumeUsers(v), table.Age(v.CreatedAt, c.Now), orDash(v.Mountpoint))
	}
	return t
}

// volumeUsers counts who uses a volume: those that the store knows, or that the driver
// tells of.
func volumeUsers(v volume.Volume) string {
	n := len(v.References)
	if users, ok := v.Status["users"].(int); ok {
		n = max(n, users)
	}
	return strconv.Itoa(n)
}

func volumeInspectVerb() *Verb {
	var format string
	return volumeVerb(&Verb{
		Name: "volume inspect", Summary: "Print everything known of volumes, as JSON", Args: "NAME...", Min: 1, Max: unlimited, Volumes: true,
		Detail: "Status is what the driver says; References are who has the volume mounted through this command.",
		Examples: []Example{
			{"Print everything about a volume", "strata volume inspect data"},
			{"Print where it is", "strata volume inspect --format '{{.Mountpoint}}' data"},
		},
		Options: []option.Option{formatOption(&format)},
		Run: withVolumes(true, func(ctx context.Context, c *Call, v *volumes) error {
			list := []volume.Volume{}
			for _, arg := range c.Args {
				one, err := v.Get(ctx, arg, volume.GetOptions{})
				if err != nil {
					c.Fail(Failure{Arg: arg, Err: err})
					continue
				}
				list = append(list, one)
			}
			if format != "" {
				return showFormatted(c, format, list)
			}
			var text bytes.Buffer
			err := writeJSON(&text, list, "    ")
			return errorsJoin(err, c.Show(Result{JSON: list, Text: func(b *bytes.Buffer) { b.Write(text.Bytes()) }}))
		}),
	})
}
