package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/oci"
	"github.com/stratastore/strata/volume/ontop"
)

// imageMounts shows images of the store to volumes on top of them. Each user has a
// container of the image, whose ID follows from the user's name: so it is made once
// whoever asks how often, and while it is there no engine deletes the image.
type imageMounts struct{ session *session }

var _ ontop.Images = (*imageMounts)(nil)

// flagUser is in the record of a user's container, and names the user.
const flagUser = "strata-user"

// ofVolume refuses to take away what a volume stands on, however hard it is asked for.
func ofVolume(c container.Container) error {
	name, ok := strings.CutPrefix(userOf(c), "volume:")
	if !ok {
		return nil
	}
	return errdefs.WithHint(errdefs.New(errdefs.ErrInUse, fmt.Sprintf("container %s is the base of volume %s, which is mounted", c.ID, name)),
		fmt.Sprintf("`strata volume unmount %s` first; if there is no such volume, `strata delete-container %s`", name, c.ID))
}

// userOf is the user that a container was made for, "" for none.
func userOf(c container.Container) (user string) {
	text, ok := c.Flags[flagUser]
	if !ok || json.Unmarshal(text, &user) != nil {
		return ""
	}
	return user
}

// userContainer is the container of a user.
func userContainer(user string) container.ID {
	sum := sha256.Sum256([]byte("strata volume user " + user))
	return container.ID(hex.EncodeToString(sum[:]))
}

// Mount returns the tree of the image.
func (m *imageMounts) Mount(ctx context.Context, image, user string) (string, error) {
	store, err := m.session.open(ctx)
	if err != nil {
		return "", err
	}
	id := userContainer(user)
	text, err := json.Marshal(user)
	if err != nil {
		return "", err
	}
	c, err := store.Container(ctx, string(id))
	if errors.Is(err, errdefs.ErrNotFound) {
		c, err = store.CreateContainer(ctx, strata.ContainerOptions{
			ID: id, Names: []string{"strata-" + strings.ReplaceAll(user, ":", "-")}, Image: imageFor(ctx, store, image),
			Flags: map[string]json.RawMessage{flagUser: text},
		})
	}
	if err != nil {
		return "", err
	}
	if n, err := store.Mounted(ctx, string(id)); err != nil || n == 0 {
		if err != nil {
			return "", err
		}
		return store.Mount(ctx, string(id), strata.MountOptions{})
	}
	// One mount is enough for all calls.
	l, err := store.Layer(ctx, string(c.Layer))
	return l.MountPath, err
}

// imageFor finds the image that a name stands for, also a short one.
func imageFor(ctx context.Context, store *strata.Store, name string) string {
	for _, candidate := range append([]string{name}, oci.Candidates(name)...) {
		if o, err := store.Find(ctx, candidate, strata.KindImage); err == nil {
			return o.ID
		}
	}
	return name
}

// Unmount removes the user's container; none is success.
func (m *imageMounts) Unmount(ctx context.Context, _, user string) error {
	store, err := m.session.open(ctx)
	if err != nil {
		return err
	}
	err = store.DeleteContainer(ctx, string(userContainer(user)))
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}

// layerTar packs the changes of a volume as a layer.
type layerTar struct{}

var _ ontop.Packer = layerTar{}

func (layerTar) Pack(ctx context.Context, w io.Writer, upper string, lowers []string) error {
	changes, err := archive.OverlayChanges(ctx, upper, lowers, archive.WhiteoutTrusted, archive.CompareOptions{})
	if err != nil {
		return err
	}
	return archive.PackChanges(ctx, w, upper, changes, archive.PackOptions{Whiteouts: archive.WhiteoutTrusted})
}
