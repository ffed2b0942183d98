package testutil

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"
)

// Entry is one member of a tar that a test makes. Zero fields have sensible
// values: see Tar.
type Entry struct {
	// Name is written as it is.
	Name string
	// Type is one of tar.TypeReg etc.; 0 is a directory if Name ends in "/", a
	// link if Link is set, else a regular file.
	Type byte
	Body string
	// Mode holds the permission bits and the set-ID and sticky bits as chmod(2)
	// has them; 0 is 0755 for directories, 0777 for symbolic links, else 0644.
	Mode     int64
	UID, GID int
	// Mtime is the modification time; the zero value is the Unix epoch.
	Mtime time.Time
	// Link is the target of a symbolic or hard link; with Type 0 the link is symbolic.
	Link   string
	Xattrs map[string]string
	// Major and Minor are of devices.
	Major, Minor int64
}

// Tar returns a tar (PAX format, with its end marker) of the entries in the order
// given. The same entries give the same bytes.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(e.header()); err != nil {
			t.Fatalf("tar header of %q: %v", e.Name, err)
		}
		if _, err := w.Write([]byte(e.Body)); err != nil {
			t.Fatalf("tar body of %q: %v", e.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("end of tar: %v", err)
	}
	return buf.Bytes()
}

func (e Entry) header() *tar.Header {
	h := &tar.Header{
		Format: tar.FormatPAX, Name: e.Name, Typeflag: e.typeflag(), Linkname: e.Link, Size: int64(len(e.Body)),
		Mode: e.Mode, Uid: e.UID, Gid: e.GID, ModTime: e.Mtime, Devmajor: e.Major, Devminor: e.Minor,
	}
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	if h.Mode == 0 {
		h.Mode = defaultMode(h.Typeflag)
	}
	for name, value := range e.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	return h
}

func (e Entry) typeflag() byte {
	switch {
	case e.Type != 0:
		return e.Type
	case strings.HasSuffix(e.Name, "/"):
		return tar.TypeDir
	case e.Link != "":
		return tar.TypeSymlink
	default:
		return tar.TypeReg
	}
}

func defaultMode(typeflag byte) int64 {
	switch typeflag {
	case tar.TypeDir:
		return 0o755
	case tar.TypeSymlink:
		return 0o777
	default:
		return 0o644
	}
}
