package cli

import (
	"context"

	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/volume"
)

// holderID is who mounts a volume by hand.
const holderID = "strata"

func holderOption(p *string) option.Option {
	return option.As("HOLDER", option.String(p, "id", "Who uses the volume"))
}

// volumeHold is a holder's hold on a volume.
type volumeHold struct {
	Name       string
	ID         string
	Mountpoint string `json:",omitempty"`
}

func volumeMountVerb() *Verb {
	id := holderID
	return volumeVerb(&Verb{
		Name: "volume mount", Summary: "Make a volume's data available and print where", Args: "NAME", Min: 1, Max: 1, Volumes: true,
		Detail: "Mounts are counted for each holder, and each wants its unmount. They outlive this command, but not a restart\n" +
			"of the machine. While it has holders a volume can not be removed.",
		Examples: []Example{
			{"Look into a volume", "ls $(strata volume mount data)"},
			{"Mount it for a job of its own", "strata volume mount --id backup data"},
		},
		Options: []option.Option{holderOption(&id)},
		Run: withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error {
			path, err := v.Mount(ctx, c.Args[0], volume.Holder{ID: id})
			if err != nil {
				return err
			}
			return c.Text(volumeHold{Name: c.Args[0], ID: id, Mountpoint: path}, path)
		}),
	})
}

func volumeUnmountVerb() *Verb {
	id := holderID
	return volumeVerb(&Verb{
		Name: "volume unmount", Aliases: []string{"volume umount"}, Summary: "Undo one mount of a volume", Args: "NAME", Min: 1, Max: 1, Volumes: true,
		Detail:   "The holder's last mount that is undone ends its use; the last holder's unmounts the volume.",
		Examples: []Example{{"Let go of a volume", "strata volume unmount data"}, {"The same for a holder", "strata volume unmount --id backup data"}},
		Options:  []option.Option{holderOption(&id)},
		Run: withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error {
			if _, err := v.Get(ctx, c.Args[0], volume.GetOptions{}); err != nil {
				return err
			}
			if err := v.Unmount(ctx, c.Args[0], id); err != nil {
				return err
			}
			return c.Text(volumeHold{Name: c.Args[0], ID: id})
		}),
	})
}
