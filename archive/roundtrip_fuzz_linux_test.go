package archive

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// FuzzRoundTrip: a tar that was applied comes back byte for byte from the tree that
// it made and its tar-split, or it was refused.
func FuzzRoundTrip(f *testing.F) {
	testutil.RequireRoot(f)
	for _, data := range tarsOfOthers(f) {
		if len(data) < 64<<10 {
			f.Add(data, false)
		}
	}
	for _, data := range sparseTars(f) {
		f.Add(data, true)
	}
	f.Add(testutil.Tar(f, everyKind()[:12]...), true)
	f.Add(testutil.Tar(f, testutil.Entry{Name: "a", Body: "x"}, testutil.Entry{Name: ".wh.a"}, testutil.Entry{Name: "d/.wh..wh..opq"}, testutil.Entry{Name: "d/f", Body: "y"}), false)
	f.Add(testutil.Tar(f, testutil.Entry{Name: ".wh..wh.plnk/1", Body: "kept aside"}, testutil.Entry{Name: "l", Type: '1', Link: ".wh..wh.plnk/1"}), false)
	f.Fuzz(func(t *testing.T, data []byte, overlay bool) {
		data = fixSums(data)
		opts := ExtractOptions{Whiteouts: WhiteoutNone, ApplyRoot: true, IgnoreChownErrors: true}
		if overlay {
			opts.Whiteouts = WhiteoutTrusted
		}
		dir := t.TempDir()
		var lines bytes.Buffer
		in := IngestOptions{Split: &lines, Limits: Limits{MaxBytes: 1 << 20, MaxEntries: 200, MaxDepth: 50}}
		_, err := Ingest(t.Context(), bytes.NewReader(data), in, func(ctx context.Context, diff io.Reader) error {
			_, err := Extract(ctx, dir, diff, opts)
			return err
		})
		if err != nil {
			return
		}
		plain, _, err := Decompress(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(plain)
		if err != nil {
			t.Fatal(err)
		}
		files, err := OpenFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		var got bytes.Buffer
		if err := Assemble(t.Context(), &got, &lines, files); err != nil {
			t.Fatalf("an applied tar does not come back: %v", err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes come back, of %d, or others", got.Len(), len(want))
		}
	})
}

// FuzzWhiteoutNames: whatever stands behind ".wh.", a whiteout takes away what its
// name says, in its own directory, and nothing else.
func FuzzWhiteoutNames(f *testing.F) {
	testutil.RequireRoot(f)
	for _, name := range []string{"gone", "..", ".", "", "/", "../outside", ".wh.gone", ".wh..opq", ".wh..opqx", "gone/inside", "\x00", "\xff", strings.Repeat("n", 300), "kept/../gone"} {
		f.Add(name, "d/")
		f.Add(name, "")
	}
	f.Fuzz(func(t *testing.T, name, dir string) {
		if strings.Contains(dir, "\x00") || strings.Contains(name, "\x00") || len(dir)+len(name) > 4000 || strings.HasSuffix(name, "/") {
			return // no tar can say that
		}
		g := newGuarded(t)
		before := []testutil.Entry{{Name: "d/"}, {Name: "d/gone", Body: "x"}, {Name: "d/kept/", Mode: 0o700}, {Name: "gone", Body: "x"}, {Name: "kept/", Mode: 0o700}}
		mustExtract(t, g.dir, ExtractOptions{}, before...)
		err := extractInto(t, g.dir, ExtractOptions{}, testutil.Entry{Name: dir + whiteoutPrefix + name, Type: '0'})
		g.check(t)
		if err != nil && short(t, g.dir) != "d/ d/gone d/kept/ gone kept/" {
			// A refused tar may have made parents, but it deleted nothing.
			for _, want := range []string{"d/gone", "gone", "d/kept/", "kept/"} {
				if !strings.Contains(" "+short(t, g.dir)+" ", " "+want+" ") {
					t.Errorf("%s is gone although the tar was refused: %v", want, err)
				}
			}
		}
	})
}
