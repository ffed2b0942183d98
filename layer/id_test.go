package layer

import (
	"errors"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func TestImageLayerID(t *testing.T) {
	lower := DiffID("sha256:f59533cd56261fb1d9fb1641c98b84ce5b3b5aee79087b43606f2d6ad714d9b4")
	upper := DiffID("sha256:891a325a610f5fd1f8fc8b8ae9c916ef16271f9351caf85c549c6bc0771fdf91")
	tests := []struct {
		name   string
		parent ID
		diff   DiffID
		want   ID
	}{
		{"base layer is its diff ID", "", lower, "f59533cd56261fb1d9fb1641c98b84ce5b3b5aee79087b43606f2d6ad714d9b4"},
		{"vector of the worked example", ImageLayerID("", lower), upper, "d032b42bdafe7e7e5fec4b1143367e30240766715836c49131a1fa9e04b706b9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ImageLayerID(tt.parent, tt.diff); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestIDValidate(t *testing.T) {
	tests := []struct {
		id ID
		ok bool
	}{
		{NewID(), true},
		{"lay1", true},
		{"with space", true},
		{"", false},
		{".hidden", false},
		{"a/b", false},
		{"../../x", false},
		{"new\nline", false},
		{"nul\x00", false},
		{"tmp", false},
		{"l", false},
		{"layers.json", false},
		{"layers.lock", false},
		{"abc.tar-split.gz", false},
		{ID(strings.Repeat("x", 300)), false},
	}
	for _, tt := range tests {
		t.Run(string(tt.id), func(t *testing.T) {
			err := tt.id.Validate()
			if (err == nil) != tt.ok {
				t.Errorf("Validate = %v, want ok %v", err, tt.ok)
			}
			if err != nil && !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("%v is not an ErrInvalid", err)
			}
		})
	}
}

func TestNewIDIsHexAndNotANumber(t *testing.T) {
	seen := map[ID]bool{}
	for range 200 {
		id := NewID()
		if len(id) != 64 || strings.Trim(string(id), "0123456789abcdef") != "" {
			t.Fatalf("%q is not 64 hex digits", id)
		}
		if !strings.ContainsAny(string(id[:12]), "abcdef") {
			t.Fatalf("%q begins like a number", id)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
}

func TestSubjectErrorPrintsTheSentinel(t *testing.T) {
	err := about(ID("x"), ErrUnknown)
	if err.Error() != "layer not known" {
		t.Errorf("text %q", err)
	}
	var subject *SubjectError
	if !errors.As(err, &subject) || subject.Subject != "x" {
		t.Errorf("subject is lost in %#v", err)
	}
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, errdefs.ErrNotFound) {
		t.Error("kind is lost")
	}
}

func TestChildErrorHasTheReferenceText(t *testing.T) {
	err := error(&ChildError{Layer: "a", Child: "b"})
	if err.Error() != "used by layer b: layer has children" {
		t.Errorf("text %q", err)
	}
	if !errors.Is(err, ErrHasChildren) || !errors.Is(err, errdefs.ErrInUse) {
		t.Error("kind is lost")
	}
}
