package plugin

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func TestClaim(t *testing.T) {
	dir := t.TempDir()
	if s := Served(dir); s != nil {
		t.Errorf("nobody serves yet: %v", s)
	}
	first, err := TakeClaim(dir, "/run/a.sock")
	must(t, err)
	_, err = TakeClaim(dir, "/run/b.sock")
	var served *ServedError
	if !errors.As(err, &served) || served.PID != os.Getpid() || served.Socket != "/run/a.sock" || !errors.Is(err, errdefs.ErrLocked) {
		t.Errorf("a second server: %v", err)
	}
	if !strings.Contains(err.Error(), "/run/a.sock") || errdefs.Hint(err) == "" {
		t.Errorf("the holder is not named: %v", err)
	}
	if s := Served(dir); s == nil || s.Socket != "/run/a.sock" {
		t.Errorf("served by %v", s)
	}
	must(t, first.Close())
	if s := Served(dir); s != nil {
		t.Errorf("the server ended: %v", s)
	}
	second, err := TakeClaim(dir, "/b")
	must(t, err)
	if s := Served(dir); s == nil || s.Socket != "/b" {
		t.Errorf("served by %v", s)
	}
	must(t, second.Close())
	if _, err := TakeClaim(dir+"/none", "/c"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
