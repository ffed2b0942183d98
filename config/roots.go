package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

const (
	keyGraphRoot    = topTable + "graphroot"
	keyRunRoot      = topTable + "runroot"
	keyRootlessPath = topTable + "rootless_storage_path"
	keyImageStore   = topTable + "imagestore"
)

// defaultRoots sets the built-in roots (on-disk format, 8.2).
func (c *Config) defaultRoots() {
	graph, run := c.env.system("/var/lib/containers/storage"), c.env.system("/run/containers/storage")
	if c.env.UID != 0 {
		graph, run = c.env.userGraphRoot(), c.env.userRunRoot()
	}
	c.settings[keyGraphRoot].set(graph, Origin{Source: FromDefault})
	c.settings[keyRunRoot].set(run, Origin{Source: FromDefault})
}

// userGraphRoot is "" for a user without a home: then somebody has to name one.
func (e Env) userGraphRoot() string {
	data := e.get("XDG_DATA_HOME")
	if data == "" {
		if e.Home == "" {
			return ""
		}
		data = filepath.Join(e.Home, ".local/share")
	}
	return filepath.Join(data, "containers/storage")
}

func (e Env) userRunRoot() string {
	if dir := e.get("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "containers")
	}
	uid := strconv.Itoa(e.UID)
	if dir := e.system(filepath.Join("/run/user", uid)); privateDir(dir, e.UID) {
		return filepath.Join(dir, "containers")
	}
	tmp := e.get("TMPDIR")
	if tmp == "" {
		tmp = e.system("/tmp")
	}
	return filepath.Join(tmp, "storage-run-"+uid, "containers")
}

// systemRootFor reports whether a file's value of a root is meant for the system's
// own store and so does not concern an ordinary user: files of /etc and /usr
// name /var/lib/containers/storage, which the older engines never used rootless.
func (c *Config) systemRootFor(name, path string, v any) bool {
	if c.env.UID == 0 || (name != keyGraphRoot && name != keyRunRoot) {
		return false
	}
	s, ok := v.(string)
	system := path == c.env.system("/etc/containers/storage.conf") || path == c.env.system("/usr/share/containers/storage.conf")
	return ok && system && !strings.Contains(s, "$")
}

// resolveRoots expands variables, picks the rootless path and makes the roots canonical.
func (c *Config) resolveRoots() error {
	graph := c.settings[keyGraphRoot]
	if alt := c.settings[keyRootlessPath]; c.env.UID != 0 && alt.Origin.Source != "" && graph.Origin.Source == FromDefault {
		graph.set(alt.Value, alt.Origin)
	}
	for _, name := range []string{keyGraphRoot, keyRunRoot, keyImageStore} {
		s := c.settings[name]
		text, _ := s.Value.(string)
		if text == "" {
			continue
		}
		path, err := c.env.canonical(text)
		if err != nil {
			return fmt.Errorf("%s: %w", c.origin(name), err)
		}
		s.Value = path
	}
	return nil
}

// canonical expands $UID and environment variables and resolves links in the part that exists.
func (e Env) canonical(text string) (string, error) {
	path := os.Expand(text, func(name string) string {
		if name == "UID" {
			return strconv.Itoa(e.UID)
		}
		if name == "HOME" && e.get(name) == "" {
			return e.Home
		}
		return e.get(name)
	})
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%w: %q is not an absolute path", errdefs.ErrInvalid, path)
	}
	return resolveExisting(filepath.Clean(path)), nil
}

// resolveExisting resolves links in the longest part of path that exists.
func resolveExisting(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir, base := filepath.Split(path)
	if dir = filepath.Clean(dir); dir == path {
		return path
	}
	return filepath.Join(resolveExisting(dir), base)
}

// validate checks what depends on several keys.
func (c *Config) validate() error {
	if store := c.ImageStore(); store != "" && store == c.GraphRoot() {
		return fmt.Errorf("%s is the graph root itself: %w", c.origin(keyImageStore), errdefs.ErrInvalid)
	}
	return c.validateOptions()
}
