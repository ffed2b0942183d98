package ontop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// still runs do while nobody uses the volume and nobody can begin to.
func (d *Driver) still(ctx context.Context, name string, do func(p place, m metadata) error) error {
	p, m, unlock, err := d.hold(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.inUse(p); err != nil {
		return err
	}
	if mounted, err := mountapi.IsMountPoint(p.path(mountDir)); err != nil || mounted {
		// Left over from a crash; whoever is busy in it may still write.
		if err := errors.Join(err, mountapi.Unmount(p.path(mountDir))); err != nil {
			return d.internal("unmount a leftover", err)
		}
		if err := d.releaseBase(ctx, p, m); err != nil {
			return err
		}
	}
	if err := d.soleWriter(ctx, p); err != nil {
		return err
	}
	return do(p, m)
}

// Discard drops a volume's changes, so that it is its base again. A volume with users is
// a volume.ErrInUse, a snapshot an errdefs.ErrReadOnly.
func (d *Driver) Discard(ctx context.Context, name string) error {
	return d.still(ctx, name, func(p place, m metadata) error {
		if m.Snapshot != "" {
			return errdefs.WithHint(fmt.Errorf("discard the content of a snapshot: %w", errdefs.ErrReadOnly),
				"a clone of a snapshot can be changed")
		}
		base, err := d.base(ctx, p, m)
		if err != nil {
			return err
		}
		if err = d.freshUpper(p, base); err == nil { // a power cut could bring the changes back
			err = d.internal("sync the volume's folder", atomicfile.SyncDir(p.dir))
		}
		return errors.Join(err, d.releaseBase(ctx, p, m))
	})
}

// Rename gives a volume another name. A volume with users is a volume.ErrInUse, a name
// that is taken a volume.ErrExists.
func (d *Driver) Rename(ctx context.Context, name, newName string) error {
	if err := checkName(newName); err != nil {
		return err
	}
	if err := d.takeIncomplete(newName); err != nil {
		return err
	}
	return d.still(ctx, name, func(p place, _ metadata) error {
		if err := d.adopt(p.dir, newName); err != nil {
			return err
		}
		return d.sync()
	})
}

// Clone makes a new volume with the same base and a copy of the changes, shared on disk
// where the file system can. A clone of a snapshot can be written to. A volume with users
// is a volume.ErrInUse: what is written meanwhile would be torn.
func (d *Driver) Clone(ctx context.Context, name, newName string) (volume.Info, error) {
	return d.duplicate(ctx, name, newName, func(m *metadata) { m.Snapshot = "" })
}

// Snapshot keeps a volume as it is now in a new volume, which can only be read; Clone makes
// it writable again. A volume with users is a volume.ErrInUse.
func (d *Driver) Snapshot(ctx context.Context, name, snapshot string) (volume.Info, error) {
	return d.duplicate(ctx, name, snapshot, func(m *metadata) { m.Snapshot, m.Volatile = name, false })
}

func (d *Driver) duplicate(ctx context.Context, name, newName string, change func(*metadata)) (volume.Info, error) {
	if err := checkName(newName); err != nil {
		return volume.Info{}, err
	}
	var made metadata
	err := d.still(ctx, name, func(p place, m metadata) error {
		change(&m)
		m.Created = time.Now().UTC().Truncate(time.Second)
		made = m
		return d.build(newName, m, func(to place) error {
			if err := tree.Copy(ctx, to.path(upperDir), p.path(upperDir)); err != nil {
				return err
			}
			return d.internal("sync the copy", atomicfile.SyncFilesystem(to.path(upperDir)))
		})
	})
	if err != nil {
		return volume.Info{}, err
	}
	return d.made(ctx, newName, made), nil
}

// Packer turns an upper directory into a layer tar, as an archive package does: changes
// on top of lowers, nearest first, with whiteouts in the tar's form.
type Packer interface {
	Pack(ctx context.Context, w io.Writer, upper string, lowers []string) error
}

// CommitTar writes the changes as a layer tar. A volume with users is a volume.ErrInUse.
func (d *Driver) CommitTar(ctx context.Context, name string, w io.Writer, packer Packer) error {
	return d.still(ctx, name, func(p place, m metadata) error {
		base, err := d.base(ctx, p, m)
		if err != nil {
			return err
		}
		return errors.Join(packer.Pack(ctx, w, p.path(upperDir), []string{base}), d.releaseBase(ctx, p, m))
	})
}

// CommitDir makes a new directory with the volume's content: a copy of the base, with the
// changes applied. Its parent must exist; the directory appears complete or not at all. A
// volume with users is a volume.ErrInUse.
func (d *Driver) CommitDir(ctx context.Context, name, dir string) error {
	return d.still(ctx, name, func(p place, m metadata) error {
		base, err := d.base(ctx, p, m)
		if err != nil {
			return err
		}
		return errors.Join(d.commitDir(ctx, p, base, dir), d.releaseBase(ctx, p, m))
	})
}

func (d *Driver) commitDir(ctx context.Context, p place, base, dir string) error {
	merged, err := d.mounter.OverlayTree(&mountapi.Overlay{Lowers: []string{p.path(upperDir), base}})
	if err != nil {
		return d.internal("mount the volume's content", err)
	}
	defer func() { _ = merged.Close() }() // detached: nothing is lost
	parent, prefix := filepath.Dir(dir), commitPrefix(dir)
	if err := dropAbandoned(parent, prefix); err != nil {
		return fmt.Errorf("commit to %s: %w", dir, err)
	}
	temp, held, err := tree.NewDir(parent, prefix)
	if err != nil {
		return fmt.Errorf("commit to %s: %w", dir, err)
	}
	defer held.Close()
	err = tree.Copy(ctx, temp, merged.Path())
	if err == nil {
		err = atomicfile.SyncFilesystem(temp)
	}
	if err == nil {
		err = atomicfile.RenameNew(temp, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("commit to %s: %w", dir, err), tree.Remove(temp))
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

// commitPrefix begins the names of directories that are to become dir: unlike any that
// somebody else would choose, and short whatever dir is called.
func commitPrefix(dir string) string {
	sum := sha256.Sum256([]byte(filepath.Base(dir)))
	return ".commit-" + hex.EncodeToString(sum[:8]) + "-"
}

// dropAbandoned removes what killed commits to the same directory left.
func dropAbandoned(parent, prefix string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || !tree.Abandoned(path) {
			continue
		}
		if err := tree.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
