package archive_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

// A tree packed, taken apart by tar-split and put together from the tree itself
// gives the same tar.
func TestPackSplitAssemble(t *testing.T) {
	testutil.RequireRoot(t)
	dir := everything(t)
	want, _ := pack(t, dir, archive.PackOptions{})
	lines, _ := split(t, want)
	files, err := archive.OpenFiles(dir)
	check(t, err)
	defer files.Close()
	var got bytes.Buffer
	check(t, archive.Assemble(context.Background(), &got, bytes.NewReader(lines), files))
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the bytes differ")
	}
}
