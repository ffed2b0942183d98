package lockfile_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/lockfile"
)

func TestTouch(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{})
	held, err := l.Exclusive(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	if tok, err := held.Token(); err != nil || !tok.IsZero() {
		t.Fatalf("token of a new file: %v, %v", tok, err)
	}
	before := time.Now()
	first := touch(t, held)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != lockfile.TokenSize || hex.EncodeToString(data) != first.String() {
		t.Fatalf("file holds %x, token is %v", data, first)
	}
	when := time.Unix(0, int64(binary.LittleEndian.Uint64(data)))
	count, pid := binary.LittleEndian.Uint64(data[8:]), binary.LittleEndian.Uint32(data[16:])
	if when.Before(before.Truncate(0)) || time.Since(when) > time.Hour || count != 1 || int(pid) != os.Getpid() {
		t.Errorf("token says %v, count %d, PID %d", when, count, pid)
	}
	second := touch(t, held)
	if again, err := held.Token(); second == first || err != nil || again != second {
		t.Errorf("second token %v, read %v, %v; first %v", second, again, err, first)
	}
	if data, err = os.ReadFile(path); err != nil || len(data) != lockfile.TokenSize {
		t.Errorf("file of %d bytes, %v", len(data), err)
	}
}

func touch(t *testing.T, h *lockfile.Held) lockfile.Token {
	t.Helper()
	tok, err := h.Touch()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTouchNeedsExclusive(t *testing.T) {
	path := lockPath(t)
	held, err := lockfile.New(path, lockfile.Options{}).Shared(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	if _, err := held.Touch(); !errors.Is(err, errdefs.ErrInvalid) {
		t.Fatalf("error = %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || len(data) != 0 {
		t.Errorf("file holds %x, %v", data, err)
	}
}

func TestTokensCompare(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4)
	tests := []struct {
		name string
		a, b string
		same bool
	}{
		{"nobody wrote", "", "", true},
		{"hex of old writers", long, long, true},
		{"another", long, strings.Replace(long, "f", "e", 1), false},
		{"short", "abc", "abc", true},
		{"zero bytes count", "abc", "abc\x00", false},
		{"first write", "", "\x00", false},
		{"only 64 bytes count", long + "x", long + "y", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if same := tokenOf(t, []byte(tt.a)) == tokenOf(t, []byte(tt.b)); same != tt.same {
				t.Errorf("equal: %t, want %t", same, tt.same)
			}
		})
	}
}

// tokenOf reads the token of a lock file with this content.
func tokenOf(t *testing.T, content []byte) lockfile.Token {
	t.Helper()
	path := lockPath(t)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	held, err := lockfile.New(path, lockfile.Options{ReadOnly: true}).Shared(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	tok, err := held.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// Whatever stands in a lock file is a token, and tells from all others.
func FuzzToken(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("short"))
	f.Add(bytes.Repeat([]byte{0}, lockfile.TokenSize))
	f.Add(bytes.Repeat([]byte("x"), 3*lockfile.TokenSize))
	f.Fuzz(func(t *testing.T, content []byte) {
		tok := tokenOf(t, content)
		seen := content[:min(len(content), lockfile.TokenSize)]
		if tok.String() != hex.EncodeToString(seen) {
			t.Errorf("token %v of %x", tok, content)
		}
		if tok.IsZero() != (len(content) == 0) {
			t.Errorf("IsZero() = %t of %x", tok.IsZero(), content)
		}
		if len(seen) > 0 {
			other := bytes.Clone(seen)
			other[len(other)-1] ^= 1
			if tokenOf(t, other) == tok {
				t.Errorf("%x and %x have one token", seen, other)
			}
		}
	})
}
