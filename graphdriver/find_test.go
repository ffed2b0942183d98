package graphdriver_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// finder finds one plugin, "far", and fails hard for "broken". asked collects the names.
func finder(far error, asked *[]string, cfg *graphdriver.Config) func(context.Context, string) (graphdriver.Init, error) {
	return func(_ context.Context, name string) (graphdriver.Init, error) {
		*asked = append(*asked, name)
		switch name {
		case "Far":
			return func(_ context.Context, c graphdriver.Config) (graphdriver.Driver, error) {
				*cfg = c
				if far != nil {
					return nil, far
				}
				return named{name: name}, nil
			}, nil
		case "broken":
			return nil, errHard
		}
		return nil, fmt.Errorf("plugin: %w", errdefs.ErrNotFound)
	}
}

// TestPlugins: they are for explicit choice only, and only for names that no registered driver has.
func TestPlugins(t *testing.T) {
	for _, tt := range []struct {
		name, wanted string
		state        []string
		priority     []string
		far          error
		want         string
		err          error
		says         string
		asked        string
	}{
		{name: "by name", wanted: "Far", want: "Far", says: "by name", asked: "Far"},
		{name: "by name beside other state", wanted: "Far", state: []string{"overlay", "vfs"}, want: "Far", asked: "Far"},
		{name: "never for a registered name", wanted: "vfs", want: "vfs"},
		{name: "never for an alias", wanted: "overlay2", want: "overlay"},
		{name: "never by priority", priority: []string{"Far", "vfs"}, want: "vfs"},
		{name: "never by state", state: []string{"Far"}, want: "overlay"},
		{name: "never for a removed name", wanted: "aufs", err: graphdriver.ErrNotSupported, says: "removed"},
		{name: "no such plugin", wanted: "nosuch", err: graphdriver.ErrNotSupported, says: "no driver of this name", asked: "nosuch"},
		{name: "finding fails", wanted: "broken", err: errHard, says: `find storage driver "broken"`, asked: "broken"},
		{name: "opening fails", wanted: "Far", far: errHard, err: errHard, says: "open storage driver Far", asked: "Far"},
		{name: "opening is not supported", wanted: "Far", far: graphdriver.ErrPrerequisites, err: graphdriver.ErrPrerequisites, asked: "Far"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			state(t, root, tt.state...)
			var asked []string
			var cfg graphdriver.Config
			r := registry(t, results{"overlay": nil, "vfs": nil}, nil)
			r.Find = finder(tt.far, &asked, &cfg)
			d, reason, err := r.Open(t.Context(), graphdriver.Choice{
				Root: root, RunRoot: t.TempDir(), Name: tt.wanted, Priority: tt.priority, Options: []string{"overlay.x=1"},
			})
			text := reason
			if tt.err != nil {
				if !errors.Is(err, tt.err) || d != nil {
					t.Fatalf("driver %v, error %v; want %v", d, err, tt.err)
				}
				text = err.Error()
			} else if err != nil || d.Name() != tt.want {
				t.Fatalf("driver %v, error %v; want %s", d, err, tt.want)
			}
			if !strings.Contains(text, tt.says) || strings.Join(asked, " ") != tt.asked {
				t.Errorf("%q, asked for %q; want %q, %q", text, asked, tt.says, tt.asked)
			}
			if tt.wanted == "nosuch" && !strings.Contains(errdefs.Hint(err), "overlay, vfs; no plugin of this name") {
				t.Errorf("hint %q", errdefs.Hint(err))
			}
		})
	}
}

// TestPluginConfig: a plugin's home is that of any driver, and options may name it.
func TestPluginConfig(t *testing.T) {
	root := t.TempDir()
	var asked []string
	var cfg graphdriver.Config
	r := registry(t, results{"overlay": nil}, nil)
	r.Find = finder(nil, &asked, &cfg)
	_, _, err := r.Open(t.Context(), graphdriver.Choice{
		Root: root, RunRoot: root, Name: "Far", Options: []string{"Far.size=1", "far.k=v", "overlay.x=1", "plain=2"},
	})
	must(t, err)
	var options []string
	for _, o := range cfg.Options {
		options = append(options, o.Key+"="+o.Value)
	}
	if got := strings.Join(options, " "); got != "size=1 k=v plain=2" || cfg.Home != filepath.Join(root, "Far") {
		t.Errorf("options %q, home %s", got, cfg.Home)
	}
	if _, _, err := r.Open(t.Context(), graphdriver.Choice{Root: root, RunRoot: root, Name: "Far", Options: []string{"near.size=1"}}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("an option for another unknown driver: %v", err)
	}
}

func TestLookup(t *testing.T) {
	r := registry(t, results{"overlay": nil}, nil)
	for _, name := range []string{"overlay", "overlay2"} {
		init, err := r.Lookup(name)
		must(t, err)
		d, err := init(t.Context(), graphdriver.Config{Home: t.TempDir()})
		if err != nil || d.Name() != "overlay" {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
	if _, err := r.Lookup("nosuch"); !graphdriver.IsNotSupported(err) {
		t.Error(err)
	}
}

func TestOptionsFor(t *testing.T) {
	got, err := graphdriver.OptionsFor("vfs", []string{"vfs.a=1", ".b=2", "c=3", "overlay.d=4"})
	if err != nil || len(got) != 3 || got[0].Key != "a" || got[1].Key != "b" || got[2].Key != "c" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"nosuch.a=1", "a"} {
		if _, err := graphdriver.OptionsFor("vfs", []string{bad}); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
