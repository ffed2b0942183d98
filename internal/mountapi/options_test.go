package mountapi_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/mountapi"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		name  string
		words string
		want  mountapi.Options
		bad   bool
	}{
		{name: "nothing", words: ",defaults,,"},
		{name: "flags", words: "ro,nodev,noexec,nosuid", want: mountapi.Options{
			Flags: unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSUID,
		}},
		{name: "taken back", words: "ro,nodev,rw,dev,sync", want: mountapi.Options{Flags: unix.MS_SYNCHRONOUS}},
		{name: "access times exclude each other", words: "noatime,strictatime,relatime", want: mountapi.Options{Flags: unix.MS_RELATIME}},
		{name: "data", words: "nodev,metacopy=on,volatile", want: mountapi.Options{
			Flags: unix.MS_NODEV, Data: []string{"metacopy=on", "volatile"},
		}},
		{name: "later data wins", words: "metacopy=on,xino=off,metacopy=off", want: mountapi.Options{
			Data: []string{"xino=off", "metacopy=off"},
		}},
		{name: "other directories", words: "lowerdir=/etc", bad: true},
		{name: "upper directory", words: "nodev,upperdir=/etc", bad: true},
		{name: "new lower directory", words: "lowerdir+=/etc", bad: true},
		{name: "remount", words: "remount", bad: true},
		{name: "propagation", words: "rshared", bad: true},
		{name: "nameless", words: "=x", bad: true},
		{name: "control character", words: "x=\x01", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mountapi.ParseOptions(strings.Split(tt.words, ","))
			if tt.bad {
				if !errors.Is(err, errdefs.ErrInvalid) {
					t.Fatalf("error %v, want ErrInvalid", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestOptionsValue(t *testing.T) {
	o := mountapi.Options{Data: []string{"metacopy=on", "volatile"}}
	copied := o
	o.Set("metacopy=off")
	o.Drop("volatile")
	if v, ok := o.Value("metacopy"); v != "off" || !ok {
		t.Errorf("metacopy is %q, %v", v, ok)
	}
	if _, ok := o.Value("volatile"); ok {
		t.Error("volatile is still there")
	}
	if d := cmp.Diff([]string{"metacopy=on", "volatile"}, copied.Data); d != "" {
		t.Errorf("a copy changed with its original:\n%s", d)
	}
}

// FuzzParseOptions: no panic, nothing that redirects a mount gets through, and what was
// parsed reads back as itself.
func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{"nodev,metacopy=on", "ro,rw", "lowerdir=/", "context=\"a:b\"", "=,==,a=b=c", "defaults"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := mountapi.ParseOptions(strings.Split(text, ","))
		if err != nil {
			return
		}
		for _, word := range o.Data {
			key, _, _ := strings.Cut(word, "=")
			if slices.Contains([]string{"", "lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir", "bind", "remount"}, key) {
				t.Fatalf("%q got through", word)
			}
		}
		again, err := mountapi.ParseOptions(o.Words())
		if err != nil {
			t.Fatalf("%q does not read back: %v", o.Words(), err)
		}
		if d := cmp.Diff(o, again); d != "" {
			t.Fatalf("read back differently:\n%s", d)
		}
	})
}
