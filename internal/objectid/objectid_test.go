package objectid_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/objectid"
)

func TestNew(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := objectid.New()
		if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id[:12], "0123456789") == "" || seen[id] {
			t.Fatalf("New() = %q", id)
		}
		seen[id] = true
	}
}

func TestValidate(t *testing.T) {
	for _, id := range []string{"", ".", "..", ".x", "a/b", "../../x", "a\nb", "a\x00", "a\x7f", "images.json", "containers.lock", "a\xff", strings.Repeat("a", 201)} {
		if err := objectid.Validate("image", id); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("Validate(%q) = %v, want ErrInvalid", id, err)
		}
	}
	for _, id := range []string{"a", "i1", "A_b-c.d", strings.Repeat("f", 64)} {
		if err := objectid.Validate("image", id); err != nil {
			t.Errorf("Validate(%q) = %v", id, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "a\nb", "a\x00", "a\xff"} {
		if err := objectid.ValidateNames("image", []string{"fine", bad}); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("name %q: %v, want ErrInvalid", bad, err)
		}
	}
	if err := objectid.ValidateNames("image", []string{"a b", "ü", "/"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"x", "y", "a"}, objectid.Unique([]string{"x", "y", "x", "a", "y"})); diff != "" {
		t.Errorf("Unique (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"x", "a"}, objectid.Without([]string{"x", "y", "a", "y"}, "y", "z")); diff != "" {
		t.Errorf("Without (-want +got):\n%s", diff)
	}
	if objectid.Unique(nil) != nil {
		t.Error("Unique(nil) is not nil")
	}
}

func TestText(t *testing.T) {
	if err := objectid.ValidateText("metadata", "{\"a\":\xff}"); !errors.Is(err, errdefs.ErrInvalid) || errdefs.Hint(err) == "" {
		t.Errorf("bytes: %v, want ErrInvalid with a hint", err)
	}
	for _, fine := range []string{"", "two\nlines", "ü\uFFFD\x00"} {
		if err := objectid.ValidateText("metadata", fine); err != nil {
			t.Errorf("%q: %v", fine, err)
		}
	}
}
