package hostiletest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// brief demands an error that a person can read.
func (r result) brief(t *testing.T) {
	t.Helper()
	if len(r.stderr) > 4096 {
		t.Errorf("an error of %d bytes: %.200s…", len(r.stderr), r.stderr)
	}
}

// members writes a tar, one entry after the other, through a compressor.
func members(t *testing.T, w io.WriteCloser, list func(add func(name string, body []byte))) {
	t.Helper()
	tw := tar.NewWriter(w)
	list(func(name string, body []byte) {
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(body)), Mode: 0o644, Format: tar.FormatPAX}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(body); err != nil {
			t.Fatal(err)
		}
	})
	for _, c := range []io.Closer{tw, w} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// longName is a name of about 200 kB, with its last component's number in it.
func longName(i int) string {
	return strings.Repeat(strings.Repeat("n", 199)+"/", 1000) + fmt.Sprint(i)
}

// TestNameBombs: names compress well, and all of them are remembered.
func TestNameBombs(t *testing.T) {
	var blob bytes.Buffer
	members(t, gzip.NewWriter(&blob), func(add func(string, []byte)) {
		for i := range 400 {
			add(longName(i), nil)
		}
	})
	s := newTarget(t, "overlay")
	for _, args := range [][]string{{"import-layer"}, {"import", "--name", "x", "-"}, {"load", "-"}} {
		r := s.strata(bytes.NewReader(blob.Bytes()), args...)
		r.refused(t, exitLimit, "names")
		r.brief(t)
		r.within(t, mostMemory)
	}
	s.clean(0, 0)
}

// dockerParts is an archive of one empty image.
func dockerParts(t *testing.T) (layer, config []byte) {
	t.Helper()
	layer = testutil.Tar(t, file("f"))
	return layer, []byte(asJSON(t, map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{testutil.Digest(layer).String()}},
	}))
}

// TestDockerArchiveBombs: what an archive says many times is done once, and what it has
// of all sizes stays within bounds.
func TestDockerArchiveBombs(t *testing.T) {
	layer, config := dockerParts(t)
	spaces := bytes.Repeat([]byte(" "), 7*mib)
	manifest := func(item string, n int) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]")
	}
	var zipped bytes.Buffer
	bomb(t, gzip.NewWriter(&zipped), 64*mib)
	tests := []struct {
		name string
		code int
		list func(add func(string, []byte))
	}{
		{"the same image 10,000 times", 0, func(add func(string, []byte)) {
			add("c", append(bytes.Clone(config), spaces...))
			add("l", layer)
			add("manifest.json", manifest(`{"Config":"c","Layers":["l"]}`, 10000))
		}},
		{"an image 200,000 times", exitLimit, func(add func(string, []byte)) {
			add("manifest.json", manifest(`{"Config":"c","Layers":["l"]}`, 200000))
		}},
		{"many huge configurations", exitLimit, func(add func(string, []byte)) {
			var items []string
			for i := range 12 {
				add(fmt.Sprint("c", i), append(bytes.Clone(config), spaces[:len(spaces)-i]...))
				items = append(items, fmt.Sprintf(`{"Config":"c%d","Layers":["l"]}`, i))
			}
			add("l", layer)
			add("manifest.json", []byte("["+strings.Join(items, ",")+"]"))
		}},
		{"a compressed layer 1,000 times", exitCorrupt, func(add func(string, []byte)) {
			zeroes := strings.Repeat(`"sha256:`+strings.Repeat("0", 64)+`",`, 1000)
			add("c", []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[`+strings.TrimSuffix(zeroes, ",")+`]}}`))
			add("l", zipped.Bytes())
			add("manifest.json", []byte(`[{"Config":"c","Layers":[`+strings.TrimSuffix(strings.Repeat(`"l",`, 1000), ",")+`]}]`))
		}},
		{"a list of 300,000 names", exitInvalid, func(add func(string, []byte)) {
			add("c", config)
			add("l", layer)
			add("manifest.json", []byte(`[{"Config":"c","Layers":["l"],"RepoTags":[`+strings.TrimSuffix(strings.Repeat(`"UPPER",`, 300000), ",")+`]}]`))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTarget(t, "overlay")
			var blob bytes.Buffer
			members(t, gzip.NewWriter(&blob), tt.list)
			r := s.strata(&blob, "load", "-")
			if tt.code != 0 {
				r.refused(t, tt.code, "error: ")
				r.brief(t)
				s.clean(0, 0)
			} else if r.code != 0 {
				t.Error(r.stderr)
			}
			r.within(t, mostMemory)
		})
	}
}

// TestArchiveRatioBomb: an image archive that unpacks to thousands of times its size is
// none, and fills no disk.
func TestArchiveRatioBomb(t *testing.T) {
	s := newTarget(t, "overlay", `max_compression_ratio = "300"`)
	var blob bytes.Buffer
	w, err := zstd.NewWriter(&blob, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	bomb(t, w, 512*mib)
	r := s.strata(&blob, "load", "-")
	r.refused(t, exitLimit, "300 times its size")
	r.within(t, mostMemory)
	s.clean(0, 0)
}

// TestIndexBombs: long indexes are refused as soon as short ones.
func TestIndexBombs(t *testing.T) {
	s := newTarget(t, "overlay")
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ","+format, i)
		}
		return `{"schemaVersion":2,"manifests":[` + b.String()[1:] + `]}`
	}
	platforms := many(`{"platform":{"os":"%08d","architecture":"x"}}`, 100000)
	d := testutil.Digest([]byte(platforms))
	loop := func(size int) string { // an index can not hold its own digest; it may hold a lie
		return `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:` +
			strings.Repeat("1", 64) + `","size":` + fmt.Sprint(size) + `}]}`
	}
	tests := map[string]map[string]string{
		"index with 400,000 digests": {"index.json": many(`{"digest":"%d"}`, 400000)},
		"index with 100,000 platforms": {
			"index.json":                  fmt.Sprintf(`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":%d}]}`, d, len(platforms)),
			"blobs/sha256/" + d.Encoded(): platforms,
		},
		"index that names itself": {"index.json": loop(len(loop(100))), "blobs/sha256/" + strings.Repeat("1", 64): loop(len(loop(100)))},
		"index that is a FIFO":    {"index.json": "|"},
		"blob that is a FIFO": {
			"index.json": fmt.Sprintf(`{"manifests":[{"digest":"sha256:%s","size":0}]}`, strings.Repeat("1", 64)),
			"blobs/sha256/" + strings.Repeat("1", 64): "|",
		},
		"layout that is a FIFO": {"oci-layout": "|"},
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": "{}"} {
				if files[name] == "" {
					files[name] = text
				}
			}
			for name, text := range files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				err := os.WriteFile(path, []byte(text), 0o600)
				if text == "|" {
					err = unix.Mkfifo(path+".fifo", 0o600)
					if err == nil {
						err = os.Rename(path+".fifo", path)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			r := s.strata(nil, "load", dir)
			if r.code == 0 {
				t.Errorf("loaded: %s", r.stdout)
			}
			r.refused(t, r.code, "error: ")
			r.brief(t)
			r.within(t, mostMemory)
			if r.took > mostTime/6 {
				t.Errorf("it took %v", r.took)
			}
		})
	}
	s.clean(0, 0)
}
