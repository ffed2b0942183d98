package pluginsock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// Path is where plugins are looked for by name.
type Path struct {
	// Sockets are folders with NAME.sock or NAME/NAME.sock, Specs folders with NAME.spec and
	// NAME.json, or these in a folder NAME. Sockets come first, and folders in order.
	Sockets, Specs []string
}

// DefaultPath is where Docker looks.
func DefaultPath() Path {
	return Path{Sockets: []string{"/run/docker/plugins"}, Specs: []string{"/etc/docker/plugins", "/usr/lib/docker/plugins"}}
}

// ErrNoPlugin says that there is no plugin of a name.
var ErrNoPlugin = errdefs.New(errdefs.ErrNotFound, "no such plugin")

// maxName is the longest name of a plugin, in bytes.
const maxName = 255

// checkName refuses what must not become a path: a name is letters, digits, "_", "." and "-",
// the first one a letter or a digit.
func checkName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	odd := func(r rune) bool { return !strings.ContainsRune(letters, r) }
	if name == "" || len(name) > maxName || strings.IndexByte("_.-", name[0]) >= 0 || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("name %q of a plugin: %w", name[:min(len(name), maxName)], errdefs.ErrInvalid)
	}
	return nil
}

// Find returns the address of the plugin called name; ErrNoPlugin if there is none.
func (p Path) Find(name string) (Address, error) {
	if err := checkName(name); err != nil {
		return Address{}, fmt.Errorf("%w: %w", ErrNoPlugin, err)
	}
	for _, dir := range p.Sockets {
		for _, file := range candidates(dir, name, ".sock") {
			if info, err := os.Stat(file); err == nil && info.Mode().Type() == fs.ModeSocket {
				return Address{Addr: "unix://" + file}, nil
			}
		}
	}
	for _, dir := range p.Specs {
		for _, ext := range []string{".spec", ".json"} {
			for _, file := range candidates(dir, name, ext) {
				a, err := readSpec(file)
				if !errors.Is(err, fs.ErrNotExist) {
					return a, err
				}
			}
		}
	}
	return Address{}, ErrNoPlugin
}

func candidates(dir, name, ext string) []string {
	return []string{filepath.Join(dir, name+ext), filepath.Join(dir, name, name+ext)}
}

// readSpec reads a file that says where a plugin listens.
func readSpec(file string) (Address, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Address{}, err
	}
	if filepath.Ext(file) == ".spec" {
		return Address{Addr: strings.TrimSpace(string(data))}, nil
	}
	var spec struct {
		Addr      string
		TLSConfig *TLS
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return Address{}, fmt.Errorf("plugin file %s: %w: %w", file, errdefs.ErrInvalid, err)
	}
	return Address{Addr: spec.Addr, TLS: spec.TLSConfig}, nil
}

// Names lists the plugins that Find would find, sorted. Folders that are missing are empty.
func (p Path) Names() ([]string, error) {
	var names []string
	var problems []error
	for _, dir := range slices.Concat(p.Sockets, p.Specs) {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("list plugins: %w", err))
		}
		for _, e := range entries {
			name := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
			if e.IsDir() {
				name = e.Name()
			}
			if _, err := p.Find(name); err == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(problems...)
}
