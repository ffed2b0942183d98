package archive

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// What a file system can not have is let pass; a refusal only where owners are mapped.
func TestTolerate(t *testing.T) {
	outside, inside := attrSetter{}, attrSetter{}
	outside.userNS.once.Do(func() { outside.userNS.yes = false })
	inside.userNS.once.Do(func() { inside.userNS.yes = true })
	tests := []struct {
		err             error
		outside, inside bool // let pass
	}{
		{nil, true, true}, {unix.ENOTSUP, true, true}, {unix.EPERM, false, true},
		{unix.ENOSPC, false, false}, {unix.E2BIG, false, false}, {unix.EACCES, false, false},
	}
	for _, tt := range tests {
		for s, pass := range map[*attrSetter]bool{&outside: tt.outside, &inside: tt.inside} {
			err := s.tolerate("trusted.x", tt.err)
			if pass != (err == nil) || err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%v: error = %v, let pass = %v", tt.err, err, pass)
			}
		}
	}
}

// An owner that is refused is an error, or none where the caller says so.
func TestExtractChownRefused(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		s := attrSetter{opts: &ExtractOptions{IgnoreChownErrors: ignore}}
		err := s.chowned(&attrs{uid: 7, gid: 8}, unix.EPERM)
		if ignore != (err == nil) || !ignore && (!errors.Is(err, unix.EPERM) || err.Error() != "set owner 7:8: operation not permitted") {
			t.Errorf("ignore = %v: error = %v", ignore, err)
		}
	}
	entry := testutil.Entry{Name: "dir/x", UID: os.Getuid(), GID: os.Getgid(), Body: "x"}
	if err := extractInto(t, t.TempDir(), ExtractOptions{IgnoreChownErrors: true}, entry); err != nil {
		t.Error(err)
	}
}
