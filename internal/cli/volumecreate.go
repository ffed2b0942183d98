package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/volume"
)

type volumeCreateOptions struct {
	driver       string
	opts, labels []string
	failIfExists bool
}

func volumeCreateVerb() *Verb {
	o := &volumeCreateOptions{}
	return volumeVerb(&Verb{
		Name: "volume create", Summary: "Make a volume and print its name", Args: "[NAME]", Max: 1,
		Detail: "Without NAME one is made up. A volume that is there already stays as it is.\n\n" +
			"The driver local keeps a directory, or mounts what type, device and o describe, as in mount(8), when the\n" +
			"volume comes into use; size limits a directory where the file system has project quotas. The driver ontop\n" +
			"lays an overlay over the directory base, or over the image lower, which is never changed; with volatile=yes\n" +
			"it starts from there again whenever it comes into use. Programs that speak Docker's volume plugin protocol\n" +
			"are drivers by the names of their sockets.",
		Examples: []Example{
			{"Make a volume", "strata volume create data"},
			{"Work on top of a directory without changing it", "strata volume create --driver ontop --opt base=/srv/site preview"},
			{"Work on top of an image of the store, from its content each time", "strata volume create --driver ontop --opt lower=debian:12 --opt volatile=yes scratch"},
			{"Keep a volume in memory", "strata volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=64m cache"},
		},
		Options: []option.Option{
			option.OneOf(option.As("DRIVER", option.String(&o.driver, "driver,d", "Driver: local, ontop, or a plugin")), volume.DefaultDriver, ontopDriver),
			option.As("KEY=VALUE", option.List(&o.opts, "opt,o", "Option for the driver, repeatable")),
			option.As("KEY=VALUE", option.List(&o.labels, "label,l", "Label, repeatable")),
			option.Bool(&o.failIfExists, "fail-if-exists", "A volume that is there already is an error"),
		},
		Run: func(ctx context.Context, c *Call) error {
			// A plugin that does not answer is waited for before others have to wait for the database.
			if err := c.session.reachVolumePlugin(ctx, o.driver); err != nil {
				return err
			}
			return withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error { return volumeCreate(ctx, c, v, o) })(ctx, c)
		},
	})
}

func volumeCreate(ctx context.Context, c *Call, v *volumes, o *volumeCreateOptions) error {
	opts, err := pairs("--opt", o.opts)
	if err != nil {
		return err
	}
	labels, err := pairs("--label", o.labels)
	if err != nil {
		return err
	}
	made, err := v.Create(ctx, argument(c.Args, 0), volume.CreateOptions{
		Driver: o.driver, Options: opts, Labels: labels, FailIfExists: o.failIfExists,
	})
	if errors.Is(err, volume.ErrNoSuchDriver) {
		return errdefs.WithHint(err, "the drivers are local and ontop, and the programs with a socket in /run/docker/plugins")
	}
	if err != nil {
		return err
	}
	for _, w := range made.Warnings {
		c.Warn(w)
	}
	return c.Text(made.Volume, made.Name)
}

// pairs reads the values of an option of the form KEY=VALUE; the last of a key counts.
func pairs(name string, values []string) (map[string]string, error) {
	m := map[string]string{}
	for _, text := range values {
		key, value, _ := strings.Cut(text, "=")
		if key == "" {
			return nil, usagef("options with a key are given as "+name+" KEY=VALUE", "%s %s: there is no key", name, quoteWord(text))
		}
		m[key] = value
	}
	return m, nil
}
