package archive_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

// contents is a getter of files that are kept in memory.
type contents map[string]string

func (c contents) Get(name string) (io.ReadCloser, error) {
	content, ok := c[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(content)), nil
}

func assemble(split string, files archive.FileGetter) (string, error) {
	var out bytes.Buffer
	err := archive.Assemble(context.Background(), &out, strings.NewReader(split), files)
	return out.String(), err
}

func crc(content string) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64.Checksum([]byte(content), crc64.MakeTable(crc64.ISO))))
}

func segment(raw string) string {
	return fmt.Sprintf(`{"type":2,"payload":"%s","position":0}`+"\n", base64.StdEncoding.EncodeToString([]byte(raw)))
}

func content(name, content string) string {
	return fmt.Sprintf(`{"type":1,"name":%q,"size":%d,"payload":"%s","position":1}`+"\n", name, len(content), crc(content))
}

func TestAssemble(t *testing.T) {
	if crc("y\n") != "YVKgAAAAAAA=" {
		t.Fatal("check value is not that of the specification's vector")
	}
	files := contents{"a": "aaa", "b/c": "c\n", "\xff": "raw", "long": long(3 << 20), `q"\`: "quoted"}
	tests := []struct {
		name, split, want string
		err               error
		text              string // part of the error
	}{
		{name: "nothing"},
		{name: "segments and files", split: segment("1") + content("a", "aaa") + segment("2") + content("b/c", "c\n"), want: "1aaa2c\n"},
		{name: "trailing empty segment", split: segment("1") + `{"type":2,"payload":"","position":5}` + "\n", want: "1"},
		{name: "trailing null segment", split: segment("1") + `{"type":2,"payload":null,"position":5}` + "\n", want: "1"},
		{name: "no line feed at the end", split: segment("1") + strings.TrimSpace(segment("2")), want: "12"},
		{name: "empty lines", split: "\n" + segment("1") + "\r\n\n" + segment("2"), want: "12"},
		{name: "position left out when 0", split: `{"type":2,"payload":"MQ=="}`, want: "1"},
		{name: "members in another order, blanks, unknown ones", split: ` { "position" : 7, "payload" : "MQ==", "x": {"payload": "Mg=="}, "type" : 2 } `, want: "1"},
		{name: "escapes in the payload", split: `{"type":2,"payload":"\u004dQ==","position":1}`, want: "1"},
		{name: "name that is not UTF-8", split: fmt.Sprintf(`{"type":1,"name_raw":"/w==","size":3,"payload":%q}`, crc("raw")), want: "raw"},
		{name: "name with escapes", split: content(`q"\`, "quoted"), want: "quoted"},
		{name: "no content", split: `{"type":1,"name":"dir/","payload":null,"position":1}` + "\n" + `{"type":1,"name":".wh.x","payload":null,"position":2}`, want: ""},
		{name: "check value without content", split: `{"type":1,"name":"gone","payload":"AAAAAAAAAAA="}`, want: ""},
		{name: "long content", split: content("long", long(3<<20)), want: long(3 << 20)},
		{name: "long segment", split: segment(long(1<<20)) + segment("2"), want: long(1<<20) + "2"},

		{name: "content changed", split: content("a", "aab"), err: errdefs.ErrCorrupt, text: `file "a"`},
		{name: "content shorter", split: content("a", "aaaa"), err: errdefs.ErrCorrupt, text: "3 bytes instead of 4"},
		{name: "content longer", split: content("a", "aa"), err: errdefs.ErrCorrupt, text: "longer than 2"},
		{name: "file missing", split: content("gone", "x"), err: errdefs.ErrCorrupt, text: `file "gone" of the layer is missing`},
		{name: "name twice", split: segment("1") + content("a", "aaa") + content("./a", "aaa"), err: errdefs.ErrCorrupt, text: `line 3: corrupt: name "./a" is there twice`},
		{name: "directory twice", split: `{"type":1,"name":"d/","payload":null}` + "\n" + `{"type":1,"name":"d","payload":null}`, err: errdefs.ErrCorrupt, text: "twice"},
		{name: "negative size", split: `{"type":1,"name":"a","size":-3,"payload":"AAAAAAAAAAA="}`, err: errdefs.ErrCorrupt, text: "size -3"},
		{name: "no check value", split: `{"type":1,"name":"a","size":3,"payload":null}`, err: errdefs.ErrCorrupt, text: "0 bytes"},
		{name: "short check value", split: `{"type":1,"name":"a","size":3,"payload":"AAAA"}`, err: errdefs.ErrCorrupt, text: "3 bytes"},
		{name: "no name", split: `{"type":1,"size":3,"payload":"AAAAAAAAAAA="}`, err: errdefs.ErrCorrupt},
		{name: "unknown type", split: `{"type":3,"payload":"MQ=="}`, err: errdefs.ErrCorrupt, text: "type 3"},
		{name: "no JSON", split: segment("1") + "garbage", err: errdefs.ErrCorrupt, text: "line 2"},
		{name: "cut line", split: segment("1") + `{"type":2,"payload":"MQ`, err: errdefs.ErrCorrupt, text: "line 2"},
		{name: "bad base64", split: `{"type":2,"payload":"M!==","position":1}`, err: errdefs.ErrCorrupt},
		{name: "two values on a line", split: `{"type":2,"payload":"MQ=="}{"type":2,"payload":"MQ=="}`, err: errdefs.ErrCorrupt},
		{name: "wrong kind of value", split: `{"type":"1"}`, err: errdefs.ErrCorrupt},
		{name: "endless line", split: `{"type":2,"payload":"` + strings.Repeat("AAAA", 17<<20), err: errdefs.ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := assemble(tt.split, files)
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("error is %v, want %v with %q", err, tt.err, tt.text)
			}
			if err == nil && got != tt.want {
				t.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(tt.want), tt.want)
			}
		})
	}
}

func TestAssembleReportsReadersAndWriters(t *testing.T) {
	broken := errors.New("broken")
	split := segment(long(1 << 20))
	if err := archive.Assemble(context.Background(), io.Discard, iotest.ErrReader(broken), nil); !errors.Is(err, broken) {
		t.Errorf("reader: %v", err)
	}
	if err := archive.Assemble(context.Background(), fullWriter{}, strings.NewReader(split), nil); err == nil {
		t.Error("writer: no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := archive.Assemble(ctx, io.Discard, strings.NewReader(split), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	getter := failing{broken}
	if _, err := assemble(content("a", "aaa"), getter); !errors.Is(err, broken) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("getter: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Get(string) (io.ReadCloser, error) {
	return io.NopCloser(iotest.ErrReader(f.err)), nil
}

// split takes a tar apart with the reference's own code.
func split(t testing.TB, tarball []byte) (lines []byte, files contents) {
	t.Helper()
	var out bytes.Buffer
	putter := keep{}
	r, done, err := asm.NewInputTarStreamWithDone(bytes.NewReader(tarball), storage.NewJSONPacker(&out), putter)
	check(t, err)
	_, err = io.Copy(io.Discard, r)
	if err := errors.Join(err, <-done, r.Close()); err != nil {
		t.Fatalf("tar-split: %v", err)
	}
	return out.Bytes(), contents(putter)
}

// keep is a tar-split FilePutter that keeps contents and computes check values.
type keep map[string]string

func (k keep) Put(name string, r io.Reader) (int64, []byte, error) {
	data, err := io.ReadAll(r)
	k[name] = string(data)
	sum := crc64.Checksum(data, crc64.MakeTable(crc64.ISO))
	return int64(len(data)), binary.BigEndian.AppendUint64(nil, sum), err
}

func TestAssembleGivesTheTarBack(t *testing.T) {
	random := make([]byte, 2<<20+77)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(random)
	tarball := testutil.Tar(t,
		testutil.Entry{Name: "./"}, testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/f", Body: "content"},
		testutil.Entry{Name: "big", Body: string(random), Xattrs: map[string]string{"user.x": "y"}},
		testutil.Entry{Name: "link", Link: "dir/f"}, testutil.Entry{Name: "\xff", Body: "raw"}, testutil.Entry{Name: long(300), Body: "long"},
		testutil.Entry{Name: "dir/.wh.gone"}, testutil.Entry{Name: "exact", Body: long(512)},
	)
	for name, data := range map[string][]byte{
		"tar": tarball, "with trailing bytes": append(bytes.Clone(tarball), make([]byte, 3<<20)...),
		"without end": tarball[:len(tarball)-1024], "empty": nil, "two zero blocks": make([]byte, 1024),
	} {
		t.Run(name, func(t *testing.T) {
			lines, files := split(t, data)
			got, err := assemble(string(lines), files)
			check(t, err)
			if got != string(data) {
				t.Errorf("got %d bytes, want %d, or other ones", len(got), len(data))
			}
		})
	}
}

// FuzzAssemble demands that nothing panics, that what is accepted is what
// tar-split's own code makes of it, and that no content but the named is used.
func FuzzAssemble(f *testing.F) {
	files := contents{"a": "aaa", "b/c": "c\n", "\xff": "raw"}
	for _, seed := range []string{
		"", segment("1") + content("a", "aaa") + segment("2"), content("b/c", "c\n") + content("./b/c", "c\n"), `{"type":2,"payload":"","position":5}`,
		`{"type":1,"name":"dir/","payload":null,"position":1}`, `{"type":1,"name_raw":"/w==","size":3,"payload":"` + crc("raw") + `"}`,
		`{"type":1,"name":"../a","size":3,"payload":"AAAAAAAAAAA="}`, `{"Type":2,"PAYLOAD":"MQ=="}`, `{"type":2,"payload":"MQ==","position":1.5}`, "{}\n{}", "null", "\v",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, split string) {
		got, err := assemble(split, files)
		if err != nil {
			return
		}
		var want bytes.Buffer
		if err := asm.WriteOutputTarStream(files, storage.NewJSONUnpacker(strings.NewReader(split)), &want); err != nil {
			t.Fatalf("accepted %q, the reference says %v", split, err)
		}
		if got != want.String() {
			t.Fatalf("%q gives %q, the reference %q", split, got, want.String())
		}
	})
}
