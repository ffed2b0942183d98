package dockerroot_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// madeRoot is a data root made up as a stopped engine leaves it.
type madeRoot struct {
	t      *testing.T
	dir    string
	driver string
	tars   map[layer.ChainID][]byte
	repos  map[string]map[string]string
}

func newMade(t *testing.T, driver string) *madeRoot { return newMadeIn(t, t.TempDir(), driver) }

func newMadeIn(t *testing.T, dir, driver string) *madeRoot {
	t.Helper()
	testutil.RequireRoot(t) // layers have owners and whiteouts
	m := &madeRoot{t: t, dir: dir, driver: driver, tars: map[layer.ChainID][]byte{}, repos: map[string]map[string]string{}}
	for _, sub := range []string{"layerdb/sha256", "layerdb/tmp", "imagedb/content/sha256"} {
		m.ok(os.MkdirAll(m.image(sub), 0o700))
	}
	m.write(filepath.Join(dir, "volumes/metadata.db"), []byte("bolt"))
	m.ok(os.MkdirAll(filepath.Join(dir, "containerd/daemon/io.containerd.snapshotter.v1.overlayfs"), 0o700))
	m.ok(os.MkdirAll(filepath.Join(dir, "containerd/daemon/io.containerd.content.v1.content/ingest"), 0o700))
	return m
}

func (m *madeRoot) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *madeRoot) write(path string, data []byte) {
	m.t.Helper()
	m.ok(os.MkdirAll(filepath.Dir(path), 0o755))
	m.ok(os.WriteFile(path, data, 0o600))
}

// image is a path of the engine's database.
func (m *madeRoot) image(sub string) string { return filepath.Join(m.dir, "image", m.driver, sub) }

// db is the folder of a layer in the database.
func (m *madeRoot) db(chain layer.ChainID) string {
	return m.image("layerdb/sha256/" + digest.Digest(chain).Encoded())
}

// content is the file of an image's configuration.
func (m *madeRoot) content(id digest.Digest) string {
	return m.image("imagedb/content/sha256/" + id.Encoded())
}

// files is the folder of a layer's files.
func (m *madeRoot) files(chain layer.ChainID) string { return m.folder(cacheID(chain)) }

func (m *madeRoot) folder(cacheID string) string {
	if m.driver == "vfs" {
		return filepath.Join(m.dir, "vfs/dir", cacheID)
	}
	return filepath.Join(m.dir, m.driver, cacheID, "diff")
}

// cacheID is unlike the chain ID, as in a real root.
func cacheID(chain layer.ChainID) string {
	return digest.FromString("cache " + string(chain)).Encoded()
}

// add stores a layer as the engine does, and returns its chain ID.
func (m *madeRoot) add(parent layer.ChainID, tar []byte) layer.ChainID {
	m.t.Helper()
	diff := layer.DiffID(digest.FromBytes(tar))
	chain := parent.Child(diff)
	if _, ok := m.tars[chain]; ok {
		return chain
	}
	m.tars[chain] = tar
	m.write(filepath.Join(m.db(chain), "diff"), []byte(diff))
	m.write(filepath.Join(m.db(chain), "cache-id"), []byte(cacheID(chain)))
	m.write(filepath.Join(m.db(chain), "size"), []byte("10"))
	if parent != "" {
		m.write(filepath.Join(m.db(chain), "parent"), []byte(parent))
	}
	m.unpack(parent, chain, tar)
	return chain
}

// unpack writes the layer's files and its tar-split.
func (m *madeRoot) unpack(parent, chain layer.ChainID, tar []byte) {
	m.t.Helper()
	dir := m.files(chain)
	opts := archive.ExtractOptions{Whiteouts: archive.WhiteoutTrusted}
	if m.driver == "vfs" {
		opts = archive.ExtractOptions{ApplyRoot: true}
		m.ok(os.MkdirAll(filepath.Dir(dir), 0o755))
		if parent != "" {
			out, err := exec.Command("cp", "-a", m.files(parent), dir).CombinedOutput()
			if err != nil {
				m.t.Fatalf("%v: %s", err, out)
			}
		}
	}
	m.ok(os.MkdirAll(dir, 0o755))
	var lines bytes.Buffer
	stream := archive.NewStream(bytes.NewReader(tar), archive.StreamOptions{Split: &lines})
	_, err := archive.Extract(m.t.Context(), dir, stream, opts)
	m.ok(err)
	m.ok(stream.Finish())
	m.write(m.split(chain), gzipped(m.t, lines.Bytes()))
}

func (m *madeRoot) split(chain layer.ChainID) string {
	return filepath.Join(m.db(chain), "tar-split.json.gz")
}

// build stores an image of the layers and returns its ID and the top layer's chain ID.
func (m *madeRoot) build(name string, tars ...[]byte) (digest.Digest, layer.ChainID) {
	m.t.Helper()
	diffs := []digest.Digest{}
	var top layer.ChainID
	for _, tar := range tars {
		top = m.add(top, tar)
		diffs = append(diffs, digest.FromBytes(tar))
	}
	// Key order and spaces are not what encoding/json makes: bytes must survive.
	list, err := json.Marshal(diffs)
	m.ok(err)
	config := fmt.Appendf(nil, `{"rootfs": {"type":"layers", "diff_ids":%s}, "os":"linux","architecture":"amd64","created":"2024-05-06T07:08:09.123456789Z", "comment":%q}`, list, name)
	id := digest.FromBytes(config)
	m.write(m.content(id), config)
	if name != "" {
		m.name(name, string(id))
	}
	return id, top
}

// name writes repositories.json anew with one more reference.
func (m *madeRoot) name(reference, id string) {
	m.t.Helper()
	repository, _, _ := strings.Cut(reference, ":")
	if m.repos[repository] == nil {
		m.repos[repository] = map[string]string{}
	}
	m.repos[repository][reference] = id
	text, err := json.Marshal(map[string]any{"Repositories": m.repos})
	m.ok(err)
	m.write(m.image("repositories.json"), text)
}

func (m *madeRoot) open(opts dockerroot.Options) *dockerroot.Root {
	m.t.Helper()
	r, err := dockerroot.Open(m.dir, opts)
	m.ok(err)
	m.t.Cleanup(func() { m.ok(r.Close()) })
	return r
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// ungzipped is the content of a compressed file.
func ungzipped(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rc, _, err := archive.Decompress(f)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(rc); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// The layers of the made-up images: with everything that a folder keeps in a way
// of its own.
func baseTar(t testing.TB) []byte {
	return testutil.Tar(t,
		testutil.Entry{Name: "./"},
		testutil.Entry{Name: "./etc/"},
		testutil.Entry{Name: "./etc/hosts", Body: "127.0.0.1 localhost\n", Mode: 0o640, UID: 12, GID: 34},
		testutil.Entry{Name: "./etc/gone", Body: "goes\n"},
		testutil.Entry{Name: "./etc/hard", Type: '1', Link: "./etc/hosts"},
		testutil.Entry{Name: "./etc/soft", Link: "/etc/hosts"},
		testutil.Entry{Name: "./data/"},
		testutil.Entry{Name: "./data/old", Body: "old\n"},
		testutil.Entry{Name: "./data/big", Body: strings.Repeat("big\n", 300_000)},
		testutil.Entry{Name: "./caf\xe9", Body: "not UTF-8\n"},
	)
}

func topTar(t testing.TB) []byte {
	return testutil.Tar(t,
		testutil.Entry{Name: "etc/"},
		testutil.Entry{Name: "etc/.wh.gone"},
		testutil.Entry{Name: "data/"},
		testutil.Entry{Name: "data/.wh..wh..opq"},
		testutil.Entry{Name: "data/new", Body: "new\n", Xattrs: map[string]string{"user.note": "kept"}},
		testutil.Entry{Name: "etc/pipe", Type: '6'},
	)
}

func otherTar(t testing.TB) []byte {
	return append(testutil.Tar(t, testutil.Entry{Name: "srv/x", Body: "x\n"}), make([]byte, 4096)...)
}
