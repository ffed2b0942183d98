package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Environment variables that choose files.
const (
	envFile     = "CONTAINERS_STORAGE_CONF"
	envOverride = "CONTAINERS_STORAGE_CONF_OVERRIDE"
)

// files lists what is read, in the order in which it is merged (on-disk format, 8.1).
// Files named by a variable must exist; the others are only listed when they do.
func (e Env) files() ([]string, error) {
	var list []string
	if only := e.get(envFile); only != "" {
		list = append(list, only)
	} else {
		if main := e.mainFile(); main != "" {
			list = append(list, main)
		}
		dropIns, err := e.dropIns()
		if err != nil {
			return nil, err
		}
		list = append(list, dropIns...)
	}
	if last := e.get(envOverride); last != "" {
		list = append(list, last)
	}
	return list, nil
}

// mainFile is the first main file that exists, or "".
func (e Env) mainFile() string {
	var candidates []string
	if dir := e.configHome(); dir != "" {
		candidates = append(candidates, filepath.Join(dir, "containers/storage.conf"))
	}
	candidates = append(candidates, e.system("/etc/containers/storage.conf"), e.system("/usr/share/containers/storage.conf"))
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return ""
}

func (e Env) dropInDirs() []string {
	var dirs []string
	for _, base := range []string{"/usr/share/containers", "/etc/containers"} {
		base = e.system(base)
		dirs = append(dirs, filepath.Join(base, "storage.conf.d"))
		if e.UID == 0 {
			dirs = append(dirs, filepath.Join(base, "storage.rootful.conf.d"))
		} else {
			rootless := filepath.Join(base, "storage.rootless.conf.d")
			dirs = append(dirs, rootless, filepath.Join(rootless, strconv.Itoa(e.UID)))
		}
	}
	if dir := e.configHome(); dir != "" {
		dirs = append(dirs, filepath.Join(dir, "containers/storage.conf.d"))
	}
	return dirs
}

// dropIns lists the *.conf files: a later directory masks equal names of an
// earlier one, the survivors apply in the order of their base names.
func (e Env) dropIns() ([]string, error) {
	byName := map[string]string{}
	for _, dir := range e.dropInDirs() {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read configuration directory: %w", err)
		}
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".conf") && !entry.IsDir() {
				byName[entry.Name()] = filepath.Join(dir, entry.Name())
			}
		}
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = byName[name]
	}
	return paths, nil
}
