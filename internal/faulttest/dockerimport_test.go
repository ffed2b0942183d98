//go:build linux && amd64

package faulttest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/faulttest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// dataRoot makes a data root as a stopped Docker engine leaves it (docker-layers-and-volumes,
// A.7 to A.10).
type dataRoot struct {
	t     testing.TB
	dir   string
	names map[string]string
}

func (r *dataRoot) write(name string, data []byte) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// layer stores a layer with its files and its tar-split; a damaged one has none.
func (r *dataRoot) layer(parent layer.ChainID, tar []byte, damaged bool) layer.ChainID {
	r.t.Helper()
	diff := layer.DiffID(digest.FromBytes(tar))
	chain := parent.Child(diff)
	dir, cache := "image/overlay2/layerdb/sha256/"+digest.Digest(chain).Encoded(), id("cache "+string(chain))
	r.write(dir+"/diff", []byte(diff))
	r.write(dir+"/cache-id", []byte(cache))
	r.write(dir+"/size", []byte("10"))
	if parent != "" {
		r.write(dir+"/parent", []byte(parent))
	}
	files := filepath.Join(r.dir, "overlay2", cache, "diff")
	if err := os.MkdirAll(files, 0o755); err != nil {
		r.t.Fatal(err)
	}
	var lines, split bytes.Buffer
	stream := archive.NewStream(bytes.NewReader(tar), archive.StreamOptions{Split: &lines})
	_, err := archive.Extract(r.t.Context(), files, stream, archive.ExtractOptions{Whiteouts: archive.WhiteoutTrusted})
	if err == nil {
		err = stream.Finish()
	}
	zip := gzip.NewWriter(&split)
	if err == nil {
		_, err = zip.Write(lines.Bytes())
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if !damaged {
		r.write(dir+"/tar-split.json.gz", split.Bytes())
	}
	return chain
}

// image stores an image of the layers.
func (r *dataRoot) image(name, damaged string, tars ...string) {
	r.t.Helper()
	var diffs []digest.Digest
	var top layer.ChainID
	for _, tar := range tars {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(r.dir)), tar+".tar"))
		if err != nil {
			r.t.Fatal(err)
		}
		top = r.layer(top, data, tar == damaged)
		diffs = append(diffs, digest.FromBytes(data))
	}
	config := []byte(testutil.JSON(r.t, map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z", "comment": name,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	}))
	sum := digest.FromBytes(config)
	r.write("image/overlay2/imagedb/content/sha256/"+sum.Encoded(), config)
	r.write("image/overlay2/imagedb/metadata/sha256/"+sum.Encoded()+"/parent", []byte(digest.FromString("parent of "+name)))
	r.write("image/overlay2/imagedb/metadata/sha256/"+sum.Encoded()+"/lastUpdated", []byte("2024-05-06T07:08:10.5Z"))
	r.names[name] = sum.String()
	text, err := json.Marshal(map[string]any{"Repositories": map[string]any{"docker": r.names}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("image/overlay2/repositories.json", text)
}

// dockerImports are the ways to take images over; damaged is the layer without a tar-split.
func dockerImports() []struct{ name, damaged, args string } {
	return []struct{ name, damaged, args string }{
		{name: "docker-import"},
		{name: "docker-import-one", args: "docker:2"},
		{name: "docker-import-rehash", damaged: "last", args: "--rehash"},
	}
}

// TestDockerImport kills the import, and lets its calls fail. Images are there whole or not at
// all; the data root is never changed.
func TestDockerImport(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	testutil.RequireProgram(t, engine)
	c := newCommon(t)
	t.Run("verbs", func(t *testing.T) {
		for i, v := range dockerImports() {
			for j, driver := range drivers {
				if os.Getenv("STRATA_FAULTS") == "" && i%len(drivers) != j {
					continue // a sample of the points is tried with one driver each
				}
				t.Run(v.name+"/"+driver, func(t *testing.T) {
					t.Parallel()
					tryDockerImport(t, c.bench(t, v.name, driver), v.name, v.damaged, v.args, i)
				})
			}
		}
	})
}

func tryDockerImport(t *testing.T, b *bench, name, damaged, args string, seed int) {
	t.Helper()
	r := &dataRoot{t: t, dir: filepath.Join(b.dir, "docker"), names: map[string]string{}}
	r.write("volumes/metadata.db", []byte("bolt"))
	r.image("docker:1", damaged, "base", "more")
	r.image("docker:2", damaged, "base", "other", "last")
	root := testutil.Tree(t, r.dir)
	words := []string{"docker-import", "--root", r.dir}
	if args != "" {
		words = append(words, args)
	}
	v := verb{name: name, args: words}
	untouched := func() {
		if now := testutil.Tree(t, r.dir); fmt.Sprint(now) != fmt.Sprint(root) {
			t.Fatal("the data root was changed")
		}
	}
	x := newTrial(b, v, faulttest.Mutating)
	for _, n := range sample(len(x.calls), most(t, 3), seed) {
		x.kill(n)
		untouched()
	}
	x.summarize("kill", x.calls)
	for i, cause := range []unix.Errno{unix.ENOSPC, unix.EIO, unix.EDQUOT} {
		for _, n := range sample(len(x.calls), most(t, 1), 7*seed+i*len(x.calls)/3) {
			x.failImport(n, faulttest.Mutating, cause)
			untouched()
		}
	}
	x.summarize("error", x.calls)
	x = newTrial(b, v, faulttest.Opening)
	for _, n := range sample(len(x.calls), most(t, 2), seed) {
		x.failImport(n, faulttest.Opening, unix.EMFILE)
		untouched()
	}
	x.summarize("descriptors", x.calls)
	x.clear()
}

// failImport lets one call fail. Layers that are complete stay for the next try, with a note,
// until garbage is collected.
func (x *trial) failImport(n int, class faulttest.Class, cause unix.Errno) {
	x.t.Helper()
	x.ready()
	r := x.traced(faulttest.Plan{Action: faulttest.Fail, Class: class, Call: n, Errno: cause}, x.verb.args...)
	if r.Hit == "" {
		return // this run had fewer calls
	}
	p := &point{trial: x, what: fmt.Sprintf("%s at call %d, %s", cause.Error(), n, r.Hit)}
	p.broken = ended(r, cause)
	if f, ok := p.look(whenFound); ok {
		if r.Exited() == 0 && !maps.Equal(f.After, x.after.After) {
			p.breaks("reports success, without what was to be done; %s", r.Stderr)
		}
		p.leaked = append(p.leaked, p.listing().between(p.old, p.new)...)
		p.again(f)
	}
	p.report()
}
