package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/dockervolumes"
	"github.com/stratastore/strata/volume/local"
)

type volumeImportOptions struct {
	root          string
	list, running bool
}

func volumeImportDockerVerb() *Verb {
	o := &volumeImportOptions{root: dockerRoot}
	return volumeVerb(&Verb{
		Name: "volume import-docker", Summary: "Take volumes over from a stopped Docker's data root", Args: "[NAME...]", Max: unlimited,
		Detail: "Without arguments, every volume of the driver local is taken: data is copied with owners, modes, times, extended\n" +
			"attributes, hard links and holes; sockets are left out. A volume that is a mount becomes one here, with the\n" +
			"same options. Labels are kept. Volumes of plugins can not be copied and are only listed. Nothing in the data\n" +
			"root is changed. A volume whose name is taken here is reported and left out.",
		Examples: []Example{
			{"See what is there", "strata volume import-docker --list"},
			{"Take everything over from another disk", "strata volume import-docker --root /mnt/var/lib/docker"},
		},
		Options: []option.Option{
			option.Dirs(option.String(&o.root, "root", "Docker's data root")),
			option.Bool(&o.list, "list", "Import nothing, only list what would be"),
			option.Bool(&o.running, "force-running", "Read although an engine is running; what it writes meanwhile may be torn"),
		},
		Run: func(ctx context.Context, c *Call) error { return volumeImport(ctx, c, o) },
	})
}

func volumeImport(ctx context.Context, c *Call, o *volumeImportOptions) error {
	found, err := dockervolumes.Read(ctx, o.root, dockervolumes.Options{AllowRunning: o.running})
	if err != nil {
		return err
	}
	if len(c.Args) > 0 {
		found = chosenVolumes(c, found)
	}
	if o.list {
		return c.Show(dockerVolumeList(found))
	}
	return withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error { return takeVolumes(ctx, c, v, found) })(ctx, c)
}

func chosenVolumes(c *Call, found []dockervolumes.Volume) []dockervolumes.Volume {
	byName := map[string]dockervolumes.Volume{}
	for _, v := range found {
		byName[v.Name] = v
	}
	var chosen []dockervolumes.Volume
	for _, arg := range c.Args {
		v, ok := byName[arg]
		if !ok {
			c.Fail(Failure{Arg: arg, Err: errdefs.WithHint(fmt.Errorf("the data root has no volume %s: %w", arg, volume.ErrNoSuchVolume), "--list shows what is there")})
			continue
		}
		chosen = append(chosen, v)
	}
	return chosen
}

func takeVolumes(ctx context.Context, c *Call, v *volumes, found []dockervolumes.Volume) error {
	taken := []string{}
	for _, d := range found {
		err := takeVolume(ctx, c, v, d)
		if err == nil {
			taken = append(taken, d.Name)
			continue
		}
		c.Fail(Failure{Arg: d.Name, Err: err})
		if ctx.Err() != nil {
			break
		}
	}
	return c.Text(taken, taken...)
}

// takeVolume copies one volume; it appears complete or not at all.
func takeVolume(ctx context.Context, c *Call, v *volumes, d dockervolumes.Volume) error {
	if d.Err != nil {
		return d.Err
	}
	if n, err := d.Sockets(ctx); err != nil {
		return err
	} else if n > 0 {
		c.Warn(fmt.Sprintf("volume %s: %s left out", d.Name, plural(n, "socket")))
	}
	opts := volume.CreateOptions{Driver: volume.DefaultDriver, Options: d.Options, Labels: d.Labels, From: d.Data, FailIfExists: true}
	made, err := v.Create(ctx, d.Name, opts)
	if errors.Is(err, local.ErrNoQuota) {
		c.Warn(fmt.Sprintf("volume %s: its limit of %s bytes is dropped, for the file system here has no quotas", d.Name, d.Options["size"]))
		delete(opts.Options, "size")
		made, err = v.Create(ctx, d.Name, opts)
	}
	if errors.Is(err, volume.ErrExists) {
		return errdefs.WithHint(err, "rename the volume here first: strata volume rename "+d.Name+" NEW-NAME")
	}
	for _, w := range made.Warnings {
		c.Warn(w)
	}
	return err
}

func dockerVolumeList(found []dockervolumes.Volume) Result {
	list := []dockerVolume{}
	for _, v := range found {
		d := dockerVolume{Name: v.Name, Driver: v.Driver, Labels: v.Labels, Options: v.Options}
		if v.Err != nil {
			d.Problem = v.Err.Error()
		}
		list = append(list, d)
	}
	return Result{
		JSON: list,
		Text: func(b *bytes.Buffer) {
			for _, d := range list {
				fmt.Fprintf(b, "%s\t%s\t%s\n", d.Name, d.Driver, orDash(d.Problem))
			}
		},
		Table: func() (*table.Table, error) {
			t := table.New("NAME", "DRIVER", "PROBLEM")
			for _, d := range list {
				t.Row(d.Name, d.Driver, orDash(d.Problem))
			}
			return t, nil
		},
	}
}

// dockerVolume is a volume of the data root in JSON.
type dockerVolume struct {
	Name, Driver string
	Labels       map[string]string `json:",omitempty"`
	Options      map[string]string `json:",omitempty"`
	// Problem is the reason why the volume can't be imported.
	Problem string `json:",omitempty"`
}
