package graphdriver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

func TestSetOptions(t *testing.T) {
	var got []string
	record := func(key string) func(string) error {
		return func(v string) error { got = append(got, key+":"+v); return nil }
	}
	setters := graphdriver.Setters{
		"size": record("size"), "mountopt": record("mountopt"),
		"bad": func(string) error { return fmt.Errorf("no: %w", errdefs.ErrInvalid) },
	}
	opts := []graphdriver.Option{{Key: "size", Value: "1"}, {Key: "mountopt", Value: "a,b"}, {Key: "size", Value: "2"}}
	must(t, graphdriver.SetOptions("x", opts, setters))
	if want := []string{"size:1", "mountopt:a,b", "size:2"}; !slices.Equal(got, want) {
		t.Errorf("set %q, want %q", got, want)
	}
	err := graphdriver.SetOptions("x", []graphdriver.Option{{Key: "sise", Value: "1", Text: "X.Sise=1"}}, setters)
	var unknown *graphdriver.UnknownOptionError
	if !errors.As(err, &unknown) || !errors.Is(err, errdefs.ErrInvalid) {
		t.Fatalf("error = %v, want an UnknownOptionError", err)
	}
	for _, s := range []string{`unknown option "sise" ("X.Sise=1")`, "bad, mountopt, size"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	err = graphdriver.SetOptions("x", []graphdriver.Option{{Key: "bad", Value: "1"}}, setters)
	if !errors.Is(err, errdefs.ErrInvalid) || !strings.Contains(err.Error(), `"bad=1"`) {
		t.Errorf("error = %v", err)
	}
}

func TestParseValues(t *testing.T) {
	for _, s := range []string{"true", "TRUE", "t", "1", "yes", "On"} {
		if v, err := graphdriver.ParseBool(s); err != nil || !v {
			t.Errorf("ParseBool(%q) = %v, %v", s, v, err)
		}
	}
	for _, s := range []string{"false", "F", "0", "no", "off"} {
		if v, err := graphdriver.ParseBool(s); err != nil || v {
			t.Errorf("ParseBool(%q) = %v, %v", s, v, err)
		}
	}
	for _, s := range []string{"", "2", "truee", " true"} {
		if _, err := graphdriver.ParseBool(s); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("ParseBool(%q): %v", s, err)
		}
	}
	if m, err := graphdriver.ParseSync("None"); err != nil || m != graphdriver.SyncNone {
		t.Errorf("ParseSync(None) = %v, %v", m, err)
	}
	if m, err := graphdriver.ParseSync("filesystem"); err != nil || m != graphdriver.SyncFilesystem {
		t.Errorf("ParseSync(filesystem) = %v, %v", m, err)
	}
	if _, err := graphdriver.ParseSync("fs"); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("ParseSync(fs): %v", err)
	}
}

// foreignClass is a driver's own error type that belongs to the class.
type foreignClass struct{}

func (foreignClass) Error() string { return "no such kernel module" }
func (foreignClass) NotSupported() {}

func TestErrorClass(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"driver", graphdriver.ErrNotSupported, true},
		{"prerequisites", graphdriver.ErrPrerequisites, true},
		{"file system", graphdriver.ErrIncompatibleFS, true},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", graphdriver.ErrIncompatibleFS)), true},
		{"joined", errors.Join(errors.New("x"), graphdriver.ErrNotSupported), true},
		{"with a hint", errdefs.WithHint(graphdriver.ErrNotSupported, "h"), true},
		{"own type", fmt.Errorf("open: %w", foreignClass{}), true},
		{"same kind, other class", errdefs.New(errdefs.ErrUnsupported, "xz"), false},
		{"the kind itself", errdefs.ErrUnsupported, false},
		{"same text", errors.New(graphdriver.ErrNotSupported.Error()), false},
	}
	for _, tt := range tests {
		if got := graphdriver.IsNotSupported(tt.err); got != tt.want {
			t.Errorf("%s: IsNotSupported = %v", tt.name, got)
		}
	}
	if !errors.Is(graphdriver.ErrPrerequisites, errdefs.ErrUnsupported) || errors.Is(graphdriver.ErrPrerequisites, graphdriver.ErrNotSupported) {
		t.Error("sentinels are of one kind and distinct")
	}
}

func FuzzOptions(f *testing.F) {
	for _, s := range []string{"overlay.mountopt=nodev", ".k=v", "k=v", "a.b.c=d=e", "=", ".=", "OVERLAY2.x=", "imagestore=/a,/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got []graphdriver.Config
		r := graphdriver.NewRegistry()
		must(t, r.Register("overlay", func(_ context.Context, c graphdriver.Config) (graphdriver.Driver, error) {
			got = append(got, c)
			return named{name: "overlay"}, nil
		}))
		_, _, err := r.Open(t.Context(), graphdriver.Choice{Root: "/nonexistent/r", RunRoot: "/nonexistent/u", Options: []string{text}})
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalid) {
				t.Fatalf("%q: %v is not ErrInvalid", text, err)
			}
			return
		}
		for _, o := range got[0].Options {
			if o.Key == "" || o.Key != strings.ToLower(o.Key) || o.Key == "imagestore" || !strings.HasSuffix(strings.TrimSpace(text), o.Value) {
				t.Fatalf("%q became %q", text, o)
			}
		}
	})
}

func TestIDLocks(t *testing.T) {
	var locks graphdriver.IDLocks
	unlockA, err := locks.Lock(t.Context(), "a")
	must(t, err)
	unlockB, err := locks.Lock(t.Context(), "b") // others go on
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() { _, err := locks.Lock(ctx, "a"); waiting <- err }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled wait: %v", err)
	}
	got := make(chan func())
	go func() { unlock, _ := locks.Lock(t.Context(), "a"); got <- unlock }()
	unlockA()
	(<-got)()
	unlockB()
}
