package cli

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func TestReadItem(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		fits     bool
	}{{"empty", "", true}, {"just fits", "1234", true}, {"too large", "12345", false}} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := readItem(strings.NewReader(tt.in), 4)
			if tt.fits && (err != nil || string(data) != tt.in) {
				t.Errorf("%q, %v", data, err)
			}
			if !tt.fits && (!errors.Is(err, errdefs.ErrLimit) || errdefs.Hint(err) == "") {
				t.Errorf("error %v, want ErrLimit with a hint", err)
			}
		})
	}
}

// TestUnknownObjectIsToldAtOnce: the error comes although nobody closes standard input.
func TestUnknownObjectIsToldAtOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	dir := t.TempDir()
	for _, kind := range []string{"layer", "image", "container"} {
		code, _, errs := runWith(dir, Terminal{}, r, "set-"+kind+"-data", "nope", "item")
		if code != 3 || !strings.Contains(errs, "nope") {
			t.Errorf("%s: exit code %d, %s", kind, code, errs)
		}
	}
}
