package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

func rmiVerb() *Verb {
	r := &removal{}
	return &Verb{
		Name: "rmi", Group: groupImages, Summary: "Remove images, or one of several names of an image", Args: "IMAGE...", Max: unlimited, ModernOnly: true,
		Detail: "Of an image with several names only the one given is taken away; the image goes with the last. Layers that\n" +
			"nothing else needs go with it. An image that a container was made from is refused; with --force the containers\n" +
			"go, too, all names go at once, and an image that is not there is no error.",
		Examples: []Example{
			{"Remove an image", "strata rmi debian:12"},
			{"See what removing all images would take away", "strata rmi --all --dry-run"},
		},
		Options: r.options("images", "Remove the image with all its names and its containers, and pass over images that are not there"),
		Objects: []strata.Kind{strata.KindImage},
		Run: func(ctx context.Context, c *Call) error {
			if err := r.check(c, "rmi", "image"); err != nil {
				return err
			}
			return r.images(ctx, c)
		},
	}
}

// removedImage tells what happened to one argument of rmi.
type removedImage struct {
	Image      string     `json:"image"`
	Untagged   []string   `json:"untagged"`
	Containers []string   `json:"deleted-containers"`
	Deleted    bool       `json:"deleted"`
	Layers     []layer.ID `json:"deleted-layers"`
}

func (r *removal) images(ctx context.Context, c *Call) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	args := c.Args
	if r.all {
		list, err := store.Images(ctx)
		if err != nil {
			return err
		}
		for _, i := range list {
			if !i.ReadOnly {
				args = append(args, string(i.ID))
			}
		}
	}
	done := []removedImage{}
	for _, arg := range args {
		one := imageRemoval{removal: r, store: store}
		err := one.remove(ctx, arg)
		if len(one.gone.Untagged) > 0 || one.gone.Deleted || len(one.gone.Containers) > 0 {
			done = append(done, one.gone)
		}
		if err != nil && !r.passesOver(err) {
			c.Fail(Failure{Arg: arg, Err: err})
		}
	}
	return c.Show(Result{JSON: done, Text: func(b *bytes.Buffer) {
		for _, d := range done {
			d.write(b)
		}
	}})
}

func (d *removedImage) write(b *bytes.Buffer) {
	for _, id := range d.Containers {
		fmt.Fprintf(b, "Deleted container: %s\n", id)
	}
	for _, name := range d.Untagged {
		fmt.Fprintf(b, "Untagged: %s\n", name)
	}
	if d.Deleted {
		fmt.Fprintf(b, "Deleted: %s\n", d.Image)
	}
	for _, id := range d.Layers {
		fmt.Fprintf(b, "Deleted layer: %s\n", id)
	}
}

// imageRemoval is the removal of one argument.
type imageRemoval struct {
	*removal
	store *strata.Store
	gone  removedImage
}

func (r *imageRemoval) remove(ctx context.Context, arg string) error {
	img, err := oci.FindImage(ctx, r.store, arg)
	if err != nil {
		return err
	}
	r.gone = removedImage{Image: string(img.ID), Untagged: []string{}, Containers: []string{}, Layers: []layer.ID{}}
	name := nameMeant(img, arg)
	switch {
	case img.ReadOnly:
		return errdefs.New(errdefs.ErrReadOnly, fmt.Sprintf("image %s is in an additional store", img.ID))
	case name != "" && len(img.Names) > 1 && !r.force:
		return r.untag(ctx, img, name)
	case len(img.Names) > 1 && !r.force && !r.all:
		return errdefs.WithHint(errdefs.New(errdefs.ErrInUse, fmt.Sprintf("image %s has %d names", img.ID, len(img.Names))),
			fmt.Sprintf("remove one of them by name (%s), or all with the image: `strata rmi --force %s`", img.Names[0], arg))
	}
	return r.delete(ctx, img)
}

// nameMeant is the image's name that an argument stands for; "" for an ID.
func nameMeant(img image.Image, arg string) string {
	for _, name := range append([]string{arg}, oci.Candidates(arg)...) {
		if slices.Contains(img.Names, name) {
			return name
		}
	}
	return ""
}

func (r *imageRemoval) untag(ctx context.Context, img image.Image, name string) error {
	r.gone.Untagged = []string{name}
	if r.dryRun {
		return nil
	}
	_, err := r.store.RemoveNames(ctx, string(img.ID), []string{name})
	if err != nil {
		r.gone.Untagged = nil
	}
	return err
}

// delete removes the image, and with force what was made from it.
func (r *imageRemoval) delete(ctx context.Context, img image.Image) error {
	if r.force {
		if err := r.users(ctx, img); err != nil {
			return err
		}
		if r.dryRun && len(r.gone.Containers) > 0 {
			// Which layers would go can not be asked while the containers are there.
			r.gone.Untagged, r.gone.Deleted = never(img.Names), true
			return nil
		}
	}
	layers, err := r.store.DeleteImage(ctx, string(img.ID), strata.DeleteImageOptions{DryRun: r.dryRun})
	if err != nil {
		return err
	}
	r.gone.Untagged, r.gone.Deleted = never(img.Names), true
	if layers != nil {
		r.gone.Layers = layers
	}
	return nil
}

// users removes the containers of an image: all or, when a volume stands on one, none.
func (r *imageRemoval) users(ctx context.Context, img image.Image) error {
	list, err := r.store.Containers(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(c container.Container) bool { return c.Image != img.ID })
	for _, ctr := range list {
		if err := ofVolume(ctr); err != nil {
			return err
		}
	}
	for _, ctr := range list {
		if !r.dryRun {
			err := r.store.DeleteContainer(ctx, string(ctr.ID))
			if errors.Is(err, strata.ErrNotAContainer) {
				continue // somebody was faster
			}
			if err != nil {
				return err
			}
		}
		r.gone.Containers = append(r.gone.Containers, string(ctr.ID))
	}
	return nil
}
