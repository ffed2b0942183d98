package volume

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// MaxName is the longest name of a volume, in bytes.
const MaxName = 255

// AnonymousLabel is the label, with an empty value, of volumes whose name was made up.
const AnonymousLabel = "com.docker.volume.anonymous"

// nameRule is the rule in words that users of other engines know.
const nameRule = "[a-zA-Z0-9][a-zA-Z0-9_.-]*"

// ErrInvalidName is the kind-carrying part of every refused name.
var ErrInvalidName = errdefs.New(errdefs.ErrInvalid, "invalid volume name")

// CheckName refuses what is not the name of a volume: a letter or digit, then letters,
// digits, "_", "." and "-", MaxName bytes at most. So "." and ".." are none, and a name
// is always one component of a path. The error is an ErrInvalidName.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: volume name is empty", ErrInvalidName)
	case len(name) > MaxName:
		return fmt.Errorf("%w: volume name has %d bytes, at most %d are allowed", ErrInvalidName, len(name), MaxName)
	case strings.IndexByte("_.-", name[0]) >= 0 || strings.IndexFunc(name, notNameRune) >= 0:
		return fmt.Errorf("%w: %q includes invalid characters for a volume name, only %q are allowed", ErrInvalidName, name, nameRule)
	}
	return nil
}

func notNameRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
		return false
	}
	return true
}

// NewName makes up a name: 64 hexadecimal digits.
func NewName() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand ends the program rather than fail
	return hex.EncodeToString(b[:])
}

// CanonicalDriver is the form in which names of drivers are compared: "x:latest" is "x".
func CanonicalDriver(name string) string { return strings.TrimSuffix(name, ":latest") }
