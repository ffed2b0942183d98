package hostiletest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stratastore/strata/internal/testutil"
)

const mib = 1 << 20

// bounds of what any hostile input may cost.
const (
	mostMemory = 512 * mib // twice what is measured: when garbage is collected depends on the machine
	mostTime   = 4 * time.Minute
)

// bytesPerName is what remembering one entry may take.
const bytesPerName = 512

// within demands that a command stayed inside the bounds.
func (r result) within(t *testing.T, memory int64) {
	t.Helper()
	if r.rss > memory {
		t.Errorf("%d MiB of memory, at most %d are allowed", r.rss/mib, memory/mib)
	}
	if r.took > mostTime {
		t.Errorf("it took %v", r.took)
	}
	t.Logf("%d MiB, %v", r.rss/mib, r.took)
}

// TestCompressionBombs: what unpacks to far more than it is stops at a cap.
func TestCompressionBombs(t *testing.T) {
	for _, program := range []string{"gzip", "zstd", "xz", "bzip2"} {
		blob := packed(t, program, 128*mib)
		each(t, func(t *testing.T, driver string) {
			t.Run(program, func(t *testing.T) {
				s := newTarget(t, driver, `max_layer_size = "64M"`)
				r := s.strata(bytes.NewReader(blob), "import-layer")
				r.refused(t, exitLimit, "bytes")
				r.within(t, mostMemory)
				s.clean(0, 0)
			})
		})
	}
}

// packed is a bomb as a program compresses it.
func packed(t *testing.T, program string, size int64) []byte {
	t.Helper()
	cmd := exec.Command(testutil.RequireProgram(t, program), "-c", "-1")
	var blob bytes.Buffer
	cmd.Stdout, cmd.Stderr = &blob, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bomb(t, in, size)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return blob.Bytes()
}

// bomb writes a tar with one file of zeroes.
func bomb(t *testing.T, w io.WriteCloser, size int64) {
	t.Helper()
	tw := tar.NewWriter(w)
	if err := tw.WriteHeader(&tar.Header{Name: "zeroes", Typeflag: tar.TypeReg, Size: size, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(tw, zeroes{}, size); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{tw, w} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestRatioBomb: without any other cap, a blob that unpacks to thousands of times its
// size is no layer.
func TestRatioBomb(t *testing.T) {
	s := newTarget(t, "overlay")
	var blob bytes.Buffer
	w, err := zstd.NewWriter(&blob, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	bomb(t, w, 512*mib)
	r := s.strata(&blob, "import-layer")
	r.refused(t, exitLimit, "one byte of its blob")
	r.within(t, mostMemory)
	s.clean(0, 0)
}

// TestCaps: each cap of storage.conf counts, for layers and for images.
func TestCaps(t *testing.T) {
	var many entries
	for i := range 30 {
		many = append(many, file(fmt.Sprint("f", i)))
	}
	deep := entries{file(strings.Repeat("d/", 30) + "f")}
	big := entries{{Name: "big", Body: strings.Repeat("x", 2*mib)}}
	header := entries{{Name: "h", Body: "x", Xattrs: map[string]string{"user.big": strings.Repeat("v", 20000)}}}
	tests := []struct {
		cap   string
		tar   entries
		cause string
	}{
		{`max_layer_size = "1M"`, big, "bytes"},
		{`max_entries = "20"`, many, "entries"},
		{`max_depth = "20"`, deep, "components"},
		{`max_header_size = "10K"`, header, "header"},
	}
	for _, tt := range tests {
		t.Run(tt.cap, func(t *testing.T) {
			s := newTarget(t, "overlay", tt.cap)
			data := testutil.Tar(t, tt.tar...)
			s.strata(bytes.NewReader(data), "import-layer").refused(t, exitLimit, tt.cause)
			s.strata(bytes.NewReader(data), "import", "--name", "x", "-").refused(t, exitLimit, tt.cause)
			id := firstWord(s.must("create-layer"))
			s.strata(bytes.NewReader(data), "applydiff", id).refused(t, exitLimit, tt.cause)
			s.clean(1, 0)
			free := newTarget(t, "overlay")
			if r := free.strata(bytes.NewReader(data), "import-layer"); r.code != 0 {
				t.Errorf("without the cap: %s", r.stderr)
			}
		})
	}
}

// TestFreeSpaceFloor: layers leave free what they are told to.
func TestFreeSpaceFloor(t *testing.T) {
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver, `min_free_space = "1000T"`)
		data := testutil.Tar(t, file("f"))
		s.strata(bytes.NewReader(data), "import-layer").refused(t, exitNoSpace, "have to stay free")
		id := firstWord(s.must("create-layer"))
		s.strata(bytes.NewReader(data), "applydiff", id).refused(t, exitNoSpace, "have to stay free")
		s.must("delete-layer", id)
		s.clean(0, 0)
	})
}

// TestSparseBombs: holes cost nothing, and as many as there are stay bounded.
func TestSparseBombs(t *testing.T) {
	program := testutil.RequireProgram(t, "tar")
	each(t, func(t *testing.T, driver string) {
		for _, format := range []string{"gnu", "pax"} {
			t.Run(format, func(t *testing.T) {
				s := newTarget(t, driver, `max_layer_size = "64M"`)
				dir := filepath.Join(s.dir, "sparse")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				name := filepath.Join(dir, "holes")
				if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(name, 1<<40); err != nil {
					t.Fatal(err)
				}
				var blob bytes.Buffer
				cmd := exec.Command(program, "--sparse", "--format="+format, "-C", dir, "-cf", "-", "holes")
				cmd.Stdout, cmd.Stderr = &blob, os.Stderr
				if err := cmd.Run(); err != nil {
					t.Fatal(err)
				}
				r := s.strata(&blob, "import-layer")
				r.refused(t, exitLimit, "bytes")
				r.within(t, mostMemory)
				s.clean(0, 0)
			})
		}
	})
}

// TestHugeHeaders: PAX records of many MiB are not read into memory.
func TestHugeHeaders(t *testing.T) {
	value := strings.Repeat("v", 64*mib)
	record := func(key string) string {
		n := len(key) + len(value) + 3
		size := len(fmt.Sprint(n))
		if len(fmt.Sprint(n+size)) > size {
			size++
		}
		return fmt.Sprintf("%d %s=%s\n", n+size, key, value)
	}
	for name, kind := range map[string]byte{"of an entry": tar.TypeXHeader, "of all entries": tar.TypeXGlobalHeader, "long name": tar.TypeGNULongName, "long link": tar.TypeGNULongLink} {
		t.Run(name, func(t *testing.T) {
			s := newTarget(t, "overlay")
			body := value
			if kind == tar.TypeXHeader || kind == tar.TypeXGlobalHeader {
				body = record("comment")
			}
			var blob bytes.Buffer
			blob.Write(block(t, "huge", kind, int64(len(body))))
			blob.WriteString(body)
			blob.Write(make([]byte, (512-len(body)%512)%512))
			blob.Write(testutil.Tar(t, file("f")))
			r := s.strata(&blob, "import-layer")
			r.refused(t, exitLimit, "header")
			r.within(t, mostMemory)
			s.clean(0, 0)
		})
	}
}

// block is one header in the old format, with its checksum.
func block(t *testing.T, name string, kind byte, size int64) []byte {
	t.Helper()
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00", size))
	copy(b[136:], "00000000000\x00        ")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestManyEntries: a million entries take time in proportion, and bounded memory.
func TestManyEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("so many files take a while")
	}
	count := 100_000
	if full() {
		count = 1_000_000
	}
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			s := newTarget(t, driver)
			in, out := io.Pipe()
			go func() { out.CloseWithError(manyEntries(out, count)) }()
			r := s.strata(in, "import-layer")
			if r.code != 0 {
				t.Fatalf("exit %d: %s", r.code, r.stderr)
			}
			// Names of entries have to be remembered, to find one that comes twice.
			r.within(t, mostMemory+int64(count)*bytesPerName)
			entries, err := os.ReadDir(s.tree(firstWord(r.stdout)))
			if err != nil || len(entries) != count/1000 {
				t.Errorf("%d directories, %v", len(entries), err)
			}
			gone := s.strata(nil, "delete-layer", firstWord(r.stdout))
			if gone.code != 0 {
				t.Errorf("delete: %s", gone.stderr)
			}
			gone.within(t, mostMemory)
			s.clean(0, 0)
		})
	}
}

func manyEntries(w io.Writer, count int) error {
	tw := tar.NewWriter(w)
	for i := range count {
		h := tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("d%d/f%d", i/1000, i), Mode: 0o644}
		if err := tw.WriteHeader(&h); err != nil {
			return err
		}
	}
	return tw.Close()
}

// TestDeepTrees: 5,000 levels are refused by default, and where they are allowed the
// layer can be read and deleted.
func TestDeepTrees(t *testing.T) {
	deep := testutil.Tar(t, file(strings.Repeat("d/", 5000)+"f"))
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver)
		r := s.strata(bytes.NewReader(deep), "import-layer")
		r.refused(t, exitLimit, "components")
		r.within(t, mostMemory)
		s.clean(0, 0)

		s = newTarget(t, driver, `max_depth = "6000"`)
		r = s.strata(bytes.NewReader(deep), "import-layer")
		if r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		r.within(t, mostMemory)
		id := firstWord(r.stdout)
		if back := s.strata(nil, "diff", id); back.code != 0 || back.stdout != strings.TrimSpace(string(deep)) {
			t.Errorf("diff: exit %d, %d bytes of %d: %s", back.code, len(back.stdout), len(deep), back.stderr)
		}
		if gone := s.strata(nil, "delete-layer", id); gone.code != 0 {
			t.Errorf("delete: %s", gone.stderr)
		}
		s.clean(0, 0)
	})
}

// TestCutAtEveryBlock: a tar that ends early is either whole by then or refused.
func TestCutAtEveryBlock(t *testing.T) {
	data := testutil.Tar(t, testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/f", Body: strings.Repeat("x", 1500), Xattrs: map[string]string{"user.x": "y"}},
		link("l", "d/f"), hard("h", "d/f"), testutil.Entry{Name: "e", Body: "end"})
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver)
		kept := 0
		for n := 0; n < len(data); n += 512 {
			for _, cut := range []int{n, n + 100} {
				r := s.strata(bytes.NewReader(data[:cut]), "import-layer")
				switch r.code {
				case 0:
					kept++
					if back := s.strata(nil, "diff", firstWord(r.stdout)); back.stdout != strings.TrimSpace(string(data[:cut])) {
						t.Errorf("cut at %d: the diff has %d bytes", cut, len(back.stdout))
					}
				default:
					r.refused(t, exitCorrupt, "corrupt")
				}
			}
		}
		s.clean(kept, 0)
	})
}

// TestDamagedHeaders: a wrong checksum, and other bytes that are no header.
func TestDamagedHeaders(t *testing.T) {
	good := testutil.Tar(t, file("a"), file("b"))
	change := func(at int, to byte) []byte {
		data := bytes.Clone(good)
		data[at] = to
		return data
	}
	tests := map[string][]byte{
		"checksum":             change(0, 'z'),
		"checksum further on":  change(1024, 'z'),
		"checksum is no digit": change(148, 'z'),
		"size is no number":    change(124, 'z'),
		"text":                 []byte(strings.Repeat("this is no tar\n", 100)),
		"gzip of nothing":      {0x1f, 0x8b},
		"zstd of nothing":      {0x28, 0xb5, 0x2f, 0xfd},
		"xz of nothing":        {0xfd, '7', 'z', 'X', 'Z', 0},
		"bzip2 of nothing":     []byte("BZh9"),
	}
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver)
		for name, data := range tests {
			t.Run(name, func(t *testing.T) {
				s.strata(bytes.NewReader(data), "import-layer").refused(t, exitCorrupt, "corrupt")
			})
		}
		s.clean(0, 0)
	})
}

// TestNoRightToMakeDevices: without the capability there is one clear error, and
// nothing left.
func TestNoRightToMakeDevices(t *testing.T) {
	program := testutil.RequireProgram(t, "setpriv")
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver)
		tarball := s.store("device.tar", testutil.Tar(t, testutil.Entry{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666}))
		cmd := exec.Command(program, "--bounding-set=-mknod", binary, "--graph", s.graph(), "--run", s.run(), "import-layer", "-f", tarball)
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 12 || !strings.Contains(string(out), "operation not permitted") {
			t.Errorf("%v: %s", err, out)
		}
		s.clean(0, 0)
	})
}
