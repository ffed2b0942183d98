package mountapi

import (
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
)

// TestTableWithLongLines: the options of an overlay of many layers do not hide the mounts.
func TestTableWithLongLines(t *testing.T) {
	table := "22 1 0:20 / / rw,relatime - ext4 /dev/vda rw\n" +
		"23 22 0:21 / /a/merged rw - overlay none rw,lowerdir=" + strings.Repeat("/some/lower/directory:", 10000) + "\n" +
		"24 22 0:22 / /with\\040blank rw shared:1 - tmpfs tmpfs rw"
	mounts, err := parseTable(strings.NewReader(table), nil)
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.FSType+" "+m.Mountpoint)
	}
	if got := strings.Join(points, "\n"); got != "ext4 /\noverlay /a/merged\ntmpfs /with blank" {
		t.Errorf("mounts\n%s", got)
	}
	if mounts, err = parseTable(strings.NewReader(table), mountinfo.FSTypeFilter("tmpfs")); err != nil || len(mounts) != 1 {
		t.Errorf("%v, %v", mounts, err)
	}
}

// TestTable finds what is there.
func TestTable(t *testing.T) {
	mounts, err := Table(mountinfo.SingleEntryFilter("/proc"))
	if err != nil || len(mounts) != 1 || mounts[0].FSType != "proc" {
		t.Errorf("%v, %v", mounts, err)
	}
}
