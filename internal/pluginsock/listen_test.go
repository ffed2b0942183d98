package pluginsock

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "made", "x.sock")
	l, err := Listen(t.Context(), socket, 0o660)
	must(t, err)
	if st, err := os.Stat(socket); err != nil || st.Mode() != os.ModeSocket|0o660 {
		t.Errorf("%v, %v", st, err)
	}
	if st, err := os.Stat(filepath.Dir(socket)); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := Listen(t.Context(), socket, 0o660); !errors.Is(err, ErrServed) || !errors.Is(err, errdefs.ErrInUse) {
		t.Errorf("a live socket is stolen: %v", err)
	}
	// A process that is killed leaves its socket behind.
	must(t, l.(*listener).Listener.Close())
	second, err := Listen(t.Context(), socket, 0o660)
	must(t, err)
	_ = l.Close() // its socket is closed already
	if _, err := os.Lstat(socket); err != nil {
		t.Error("the first listener removed the second one's socket")
	}
	must(t, second.Close())
	if left, _ := os.ReadDir(filepath.Dir(socket)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	must(t, os.WriteFile(socket, nil, 0o600))
	if _, err := Listen(t.Context(), socket, 0o660); !errors.Is(err, errdefs.ErrExists) {
		t.Errorf("a file is replaced: %v", err)
	}
	if _, err := Listen(t.Context(), filepath.Join(dir, strings.Repeat("x", 108)), 0o660); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
}

func TestListenForOneUser(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "x.sock")
	l, err := Listen(t.Context(), socket, 0o600)
	must(t, err)
	if st, err := os.Stat(socket); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if got := l.Addr().String(); got != socket {
		t.Errorf("address %s", got)
	}
	must(t, l.Close())
}

func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer l.Close()
	must(t, Notify(socket, "READY=1"), Notify("", "READY=1"))
	var buf [32]byte
	n, err := l.Read(buf[:])
	if string(buf[:n]) != "READY=1" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if Notify(socket+"x", "READY=1") == nil {
		t.Error("nobody was told, and no error")
	}
}

// FuzzSpec reads files that say where a plugin listens: whatever is in them is an address that
// can be used, or an error.
func FuzzSpec(f *testing.F) {
	for _, seed := range []string{
		"unix:///run/x.sock\n", "tcp://localhost:1", "", `{"Addr":"https://h:2","TLSConfig":{"InsecureSkipVerify":true,"CAFile":"/ca"}}`,
		`{"Addr":1}`, `{`, `null`, `{"Addr":"tcp://[::1","TLSConfig":{}}`,
	} {
		f.Add(seed)
	}
	dir := f.TempDir()
	must := func(t *testing.T, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, ext := range []string{".spec", ".json"} {
			must(t, os.WriteFile(filepath.Join(dir, "p"+ext), []byte(text), 0o600))
			addr, err := Path{Specs: []string{dir}}.Find("p")
			must(t, os.Remove(filepath.Join(dir, "p"+ext)))
			if err != nil {
				if ext == ".spec" || json.Valid([]byte(text)) && errors.Is(err, ErrNoPlugin) {
					t.Fatal(err)
				}
				continue
			}
			if transport, scheme, err := addr.Transport(); err == nil && (transport == nil || scheme == "") {
				t.Fatalf("%+v gives no transport", addr)
			}
		}
	})
}
