package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/oci"
)

// dockerRoot is where Docker keeps everything unless it is told otherwise.
const dockerRoot = "/var/lib/docker"

type dockerImportOptions struct {
	root, driver               string
	list, all, running, rehash bool
}

func dockerImportVerb() *Verb {
	o := &dockerImportOptions{root: dockerRoot}
	return &Verb{
		Name: "docker-import", Group: groupImages, Summary: "Take images over from a stopped Docker's data root",
		Args: "[IMAGE...]", Max: unlimited, JSON: true,
		Detail: "Without arguments, every image with a name is taken; with --all, the steps of builds too. IDs, names,\n" +
			"configurations and layers stay the same, byte for byte. Nothing in the data root is changed, and no engine is\n" +
			"needed. An image that is damaged is reported and left out; the exit code is that of the first one, and the\n" +
			"others are imported. Where the file system can (xfs, btrfs), files share their disk space with Docker's. With --rehash,\n" +
			"an image with damage to a layer's tar-split or files is taken as its files are now, under a new ID.\n" +
			"Images that containerd keeps for Docker can not be read.",
		Examples: []Example{
			{"See what is there", "strata docker-import --list"},
			{"Take everything over from another disk", "strata docker-import --root /mnt/var/lib/docker"},
			{"Take two images", "strata docker-import debian:12 app"},
		},
		Options: []option.Option{
			option.Dirs(option.String(&o.root, "root", "Docker's data root")),
			option.Bool(&o.list, "list", "Import nothing, only list what would be"),
			option.Bool(&o.all, "all,a", "Also images without a name"),
			option.OneOf(option.As("DRIVER", option.String(&o.driver, "driver", "Docker's graph driver, if several have images")), "overlay2", "fuse-overlayfs", "vfs"),
			option.Bool(&o.rehash, "rehash", "Make new tars of layers whose own are lost; such images get new IDs"),
			option.Bool(&o.running, "force-running", "Read although an engine is running; it may delete what is being read"),
		},
		Run: func(ctx context.Context, c *Call) error { return dockerImport(ctx, c, o) },
	}
}

func dockerImport(ctx context.Context, c *Call, o *dockerImportOptions) (err error) {
	root, err := dockerroot.Open(o.root, dockerroot.Options{Driver: o.driver, AllowRunning: o.running})
	if err != nil {
		return err
	}
	defer func() { err = errorsJoin(err, root.Close()) }()
	for _, skipped := range root.Skipped() {
		c.Warn(skipped.Error())
	}
	images := root.Images(o.all)
	if len(c.Args) > 0 {
		images = dockerImages(c, root)
	}
	switch {
	case o.list:
		if unnamed := len(root.Images(true)); len(images) == 0 && len(c.Args) == 0 && unnamed > 0 {
			c.Warn(fmt.Sprintf("%s without a name, which --all shows", plural(unnamed, "image")))
		}
		return c.Show(dockerList(c, images))
	case len(images) > 0:
		return importDockerImages(ctx, c, root, images, o.rehash)
	case len(c.Args) > 0:
		return nil // each has been reported
	}
	return errdefs.WithHint(fmt.Errorf("no image with a name in the docker data root %s: %w", o.root, errdefs.ErrNotFound), "take those without a name with --all")
}

// dockerImages finds the images that the arguments name, each once.
func dockerImages(c *Call, root *dockerroot.Root) []dockerroot.Image {
	var images []dockerroot.Image
	seen := map[digest.Digest]bool{}
	for _, arg := range c.Args {
		img, err := root.Find(arg)
		if err != nil {
			c.Fail(Failure{Arg: arg, Err: err, Line: arg + ": " + classicText(err)})
			continue
		}
		if !seen[img.ID] {
			seen[img.ID] = true
			images = append(images, img)
		}
	}
	return images
}

func importDockerImages(ctx context.Context, c *Call, root *dockerroot.Root, images []dockerroot.Image, rehash bool) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	progress, done := c.progress(ctx)
	results, err := root.Import(ctx, store, images, dockerroot.ImportOptions{Progress: progress, Rehash: rehash, Logger: c.Log})
	done()
	var loaded []oci.Loaded
	for _, r := range results {
		if r.Err == nil {
			loaded = append(loaded, r.Loaded)
			if len(r.Rehashed) > 0 {
				c.Warn(fmt.Sprintf("%s: %d of its layers have new tars, made of their files as they are; the image's ID is %s now", dockerName(r.Image), len(r.Rehashed), r.Loaded.ID))
			}
			c.Log.Info("image of Docker imported", "image", r.Image.ID, "new-layers", r.Loaded.NewLayers, "shared-bytes", r.Shared)
			continue
		}
		name := dockerName(r.Image)
		c.Fail(Failure{Arg: name, Err: r.Err, Line: name + ": " + classicText(r.Err)})
	}
	return errorsJoin(err, c.Show(loadedImages(ctx, store, loaded)))
}

// dockerName is how messages call an image.
func dockerName(img dockerroot.Image) string {
	if len(img.Names) > 0 {
		return img.Names[0]
	}
	return img.ID.String()
}

// dockerImage is an image of the data root in JSON.
type dockerImage struct {
	ID      string     `json:"id"`
	Names   []string   `json:"names"`
	Created *time.Time `json:"created,omitempty"`
	// Size is what Docker counted, in bytes; left out when it did not.
	Size *int64 `json:"size,omitempty"`
	// Layers are chain IDs, base first.
	Layers []string `json:"layers"`
	// Problem is the reason why the image can't be imported.
	Problem string `json:"problem,omitempty"`
}

func dockerList(c *Call, images []dockerroot.Image) Result {
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, i := range images {
				fmt.Fprintln(b, i.ID.Encoded())
				for _, name := range i.Names {
					fmt.Fprintf(b, "\tname: %s\n", name)
				}
				if i.Err != nil {
					fmt.Fprintf(b, "\tproblem: %v\n", i.Err)
				}
			}
		},
		JSON:  dockerListJSON(images),
		Table: func() (*table.Table, error) { return dockerTable(c, images), nil },
	}
}

func dockerListJSON(images []dockerroot.Image) []dockerImage {
	list := []dockerImage{}
	for _, i := range images {
		d := dockerImage{ID: i.ID.Encoded(), Names: never(i.Names), Layers: []string{}}
		for _, chain := range i.Layers {
			d.Layers = append(d.Layers, string(chain))
		}
		if !i.Created.IsZero() {
			d.Created = &i.Created
		}
		if i.Err != nil {
			d.Problem = i.Err.Error()
		} else if i.Size >= 0 {
			d.Size = &i.Size
		}
		list = append(list, d)
	}
	return list
}

func dockerTable(c *Call, images []dockerroot.Image) *table.Table {
	t := table.New("NAME", "ID", "SIZE", "CREATED")
	images = slices.Clone(images)
	slices.SortStableFunc(images, func(a, b dockerroot.Image) int { return b.Created.Compare(a.Created) })
	for _, i := range images {
		size := "?"
		switch {
		case i.Err != nil:
			size = "damaged"
		case i.Size >= 0:
			size = table.Size(i.Size)
		}
		age := table.Age(i.Created, c.Now)
		for _, name := range orNone(i.Names) {
			t.Row(name, table.ShortID(i.ID.Encoded()), size, age)
			size, age = "", ""
		}
	}
	return t
}
