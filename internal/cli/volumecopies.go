package cli

import (
	"context"

	"github.com/stratastore/strata/volume"
)

// volumeCopyVerb is a verb that makes a new volume of another and prints its name.
func volumeCopyVerb(v *Verb, do func(ctx context.Context, s *volumes, name, newName string) (volume.Volume, error)) *Verb {
	v.Args, v.Min, v.Max, v.Volumes = "NAME NEW-NAME", 2, 2, true
	v.Run = withVolumes(false, func(ctx context.Context, c *Call, s *volumes) error {
		made, err := do(ctx, s, c.Args[0], c.Args[1])
		if err != nil {
			return err
		}
		return c.Text(made, made.Name)
	})
	return volumeVerb(v)
}

func volumeCloneVerb() *Verb {
	return volumeCopyVerb(&Verb{
		Name: "volume clone", Summary: "Make a volume with the content of another",
		Detail: "Driver, options and labels are the same. Where the file system can, both share what they have in common.\n" +
			"Nobody may use the volume meanwhile. Of a local volume that is a mount only the definition is copied; a clone\n" +
			"of a snapshot can be written to.",
		Examples: []Example{{"Try something on a copy", "strata volume clone data trial"}},
	}, func(ctx context.Context, s *volumes, name, newName string) (volume.Volume, error) {
		return s.Clone(ctx, name, newName)
	})
}

func volumeSnapshotVerb() *Verb {
	return volumeCopyVerb(&Verb{
		Name: "volume snapshot", Summary: "Keep a volume as it is now, in a new volume that can only be read",
		Detail: "Nobody may use the volume meanwhile. For volumes of the driver ontop, of which only the changes are copied.\n" +
			"A clone of the snapshot takes up from there.",
		Examples: []Example{{"Keep a state to come back to", "strata volume snapshot preview preview-monday"}},
	}, func(ctx context.Context, s *volumes, name, newName string) (volume.Volume, error) {
		return s.Snapshot(ctx, name, newName)
	})
}

func volumeRenameVerb() *Verb {
	return volumeCopyVerb(&Verb{
		Name: "volume rename", Summary: "Give a volume another name",
		Detail:   "Nobody may use the volume meanwhile.",
		Examples: []Example{{"Rename a volume", "strata volume rename data data-old"}},
	}, func(ctx context.Context, s *volumes, name, newName string) (volume.Volume, error) {
		if err := s.Rename(ctx, name, newName); err != nil {
			return volume.Volume{}, err
		}
		return s.Get(ctx, newName, volume.GetOptions{})
	})
}
