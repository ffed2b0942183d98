package ontop

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBaseThatIsNotUTF8: JSON could not give the path back, so it is refused at once; a link
// to the directory serves.
func TestBaseThatIsNotUTF8(t *testing.T) {
	d, _ := setup(t)
	base := filepath.Join(t.TempDir(), "b\xff\xfe")
	link := filepath.Join(t.TempDir(), "link")
	must(t, errors.Join(os.Mkdir(base, 0o755), os.WriteFile(base+"/file", []byte("x"), 0o644), os.Symlink(base, link)))
	_, err := d.Create(t.Context(), "v", map[string]string{"base": base})
	if !errors.Is(err, ErrOption) || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("%v", err)
	}
	make1(t, d, link)
	if got := read(t, mount(t, d, "id")+"/file"); got != "x" {
		t.Errorf("content %q", got)
	}
	unmount(t, d, "id")
}
