package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing/iotest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func badTarCases() []testCase {
	return []testCase{
		{name: "apply: broken tars", run: applyBroken},
		{name: "apply: escapes", run: applyEscapes},
		{name: "apply: cancelled", run: applyCancelled},
		{name: "apply: to nobody", run: applyToNobody},
		{name: "apply: the tail is left to the caller", run: applyTail},
	}
}

// applyError applies a tar that must be refused, and checks that nothing stays mounted.
func (e *env) applyError(ctx context.Context, id graphdriver.ID, diff io.Reader) error {
	e.Helper()
	before := mountsBelow(e, e.root)
	_, err := e.d.ApplyDiff(ctx, id, "", diff, graphdriver.ApplyOptions{})
	e.same("left mounted", mountsBelow(e, e.root), before)
	return err
}

func applyBroken(e *env) {
	whole := bigTar(e)
	damaged := bytes.Clone(whole)
	copy(damaged[512:], strings.Repeat("damage", 80))
	errRead := errors.New("read error")
	tests := map[string]struct {
		diff io.Reader
		want error // nil: any
	}{
		"cut in a header":  {bytes.NewReader(whole[:512+200]), io.ErrUnexpectedEOF},
		"cut in a file":    {bytes.NewReader(whole[:300_000]), io.ErrUnexpectedEOF},
		"damaged header":   {bytes.NewReader(damaged), nil},
		"no tar":           {strings.NewReader(strings.Repeat("garbage ", 1000)), nil},
		"reader that ends": {io.MultiReader(bytes.NewReader(whole[:200_000]), iotest.ErrReader(errRead)), errRead},
		"a path twice": {bytes.NewReader(testutil.Tar(e,
			testutil.Entry{Name: "f", Body: "1"}, testutil.Entry{Name: "./f", Body: "2"})), errdefs.ErrInvalid},
	}
	for name, tt := range tests {
		id := graphdriver.ID(name)
		e.create(id, "")
		err := e.applyError(e.Context(), id, tt.diff)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			e.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
	}
}

// applyEscapes: whatever names and links say, nothing outside of the layer changes.
func applyEscapes(e *env) {
	outside := filepath.Join(filepath.Dir(e.root), "outside")
	e.must(os.Mkdir(outside, 0o755))
	e.must(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	before := testutil.Tree(e, outside)
	up := strings.Repeat("../", 30)
	tests := map[string][]testutil.Entry{
		"dotdot":               {{Name: up + outside[1:] + "/f", Body: "x"}},
		"dotdot inside":        {{Name: "a/" + up + outside[1:] + "/f", Body: "x"}},
		"symlink parent":       {{Name: "l", Link: outside}, {Name: "l/f", Body: "x"}},
		"relative symlink":     {{Name: "d/"}, {Name: "d/l", Link: "../" + up + outside[1:]}, {Name: "d/l/f", Body: "x"}},
		"symlink as directory": {{Name: "l", Link: outside}, {Name: "l/", Mode: 0o777}},
		"hard link out":        {{Name: "h", Type: tar.TypeLink, Link: up + outside[1:] + "/secret"}},
		"hard link by symlink": {{Name: "l", Link: outside}, {Name: "h", Type: tar.TypeLink, Link: "l/secret"}, {Name: "h2", Body: "x"}},
		"write by hard link":   {{Name: "l", Link: outside + "/secret"}, {Name: "h", Type: tar.TypeLink, Link: "l"}, {Name: "x", Body: "y"}},
		"whiteout by symlink":  {{Name: "l", Link: outside}, {Name: "l/.wh.secret"}},
		"opaque by symlink":    {{Name: "l", Link: outside}, {Name: "l/.wh..wh..opq"}},
		"root as symlink":      {{Name: ".", Type: tar.TypeSymlink, Link: outside}, {Name: "f", Body: "x"}},
		"whiteout of dotdot":   {{Name: "a/"}, {Name: "a/.wh..."}, {Name: ".wh..."}, {Name: ".wh.."}},
		"absolute":             {{Name: outside + "/f", Body: "x"}},
	}
	for name, entries := range tests {
		id := graphdriver.ID(strings.ReplaceAll(name, " ", "-"))
		e.create(id, "")
		_ = e.applyError(e.Context(), id, bytes.NewReader(testutil.Tar(e, entries...))) // refused or confined, as the extractor likes
		e.same(name+": outside", testutil.Tree(e, outside), before)
	}
	// The link may also be the parent's.
	e.layer("with-link", "", testutil.Entry{Name: "l", Link: outside})
	e.create("through-link", "with-link")
	_, err := e.d.ApplyDiff(e.Context(), "through-link", "with-link",
		bytes.NewReader(testutil.Tar(e, testutil.Entry{Name: "l/f", Body: "x"})), graphdriver.ApplyOptions{})
	e.Logf("below a link of the parent: %v", err)
	e.same("outside", testutil.Tree(e, outside), before)
}

func applyCancelled(e *env) {
	e.create("base", "")
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	diff := &hookReader{r: bytes.NewReader(bigTar(e)), after: 150_000, hook: cancel}
	e.wants("apply", e.applyError(ctx, "base", diff), context.Canceled)
	e.must(e.d.Remove(e.Context(), "base"))
	e.exists("base", false)
}

// hookReader calls hook once when that many bytes were read.
type hookReader struct {
	r     io.Reader
	after int
	hook  func()
}

func (h *hookReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p[:min(len(p), 4096)])
	if h.after -= n; h.after <= 0 && h.hook != nil {
		h.hook()
		h.hook = nil
	}
	return n, err
}

func applyToNobody(e *env) {
	e.leavesNothing(func() {
		e.wants("apply", e.applyError(e.Context(), "nobody", bytes.NewReader(bigTar(e))), errdefs.ErrNotFound)
	})
}

// applyTail: what follows the end of the archive is padding, never another archive.
func applyTail(e *env) {
	e.create("base", "")
	diff := testutil.Tar(e, testutil.Entry{Name: "f", Body: "1"})
	diff = append(diff, testutil.Tar(e, testutil.Entry{Name: "after-the-end", Body: "2"})...)
	e.apply("base", "", diff)
	e.mounted("base", func(dir string) { e.wantNames(dir, "f") })
}
