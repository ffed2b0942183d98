package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/tempdir"
)

// features answers what the kernel can do with the home's file system. Each question is put
// to the kernel once per boot: answers are kept in the run root, under names that the
// other engines use, too (on-disk format, 4.9). Safe for concurrent use.
type features struct {
	driver *driver
	cache  probeCache

	mu    sync.Mutex
	known map[string]answer
	trees *bool // detached; nil: not known
}

// answer is yes or, with a reason, no.
type answer struct {
	yes    bool
	reason string
}

// has returns the answer to the question name, trying it out if nobody has yet. An error says
// that it could not be tried; then nothing is remembered.
func (f *features) has(name string, probe func(*probe) error) (answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.known[name]; ok {
		return a, nil
	}
	a, cached := f.cache.read(name)
	if !cached {
		err := f.driver.try(probe)
		var no *missingError
		if err != nil && !errors.As(err, &no) {
			return answer{}, err
		}
		a = answer{yes: err == nil}
		if err != nil {
			a.reason = err.Error()
		}
		f.cache.write(name, a)
	}
	if f.known == nil {
		f.known = map[string]answer{}
	}
	f.known[name] = a
	return a, nil
}

// can is has for features that the driver can do without.
func (f *features) can(name string, probe func(*probe) error) bool {
	a, err := f.has(name, probe)
	if err != nil {
		f.driver.log.Debug("feature could not be tried", "feature", name, "error", err)
	}
	return a.yes
}

// overlay makes sure that overlays can be mounted at all. A no is not written down: what
// is missing may be added.
func (f *features) overlay() error {
	const name = "overlay"
	if a, cached := f.cache.read(name); cached {
		return a.asError(name)
	}
	err := f.driver.try(probeOverlay)
	if err == nil {
		f.cache.write(name, answer{yes: true})
		return nil
	}
	var no *missingError
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("%w: %w", no.class, err)
	case errors.Is(err, unix.EROFS):
		return nil // what is there can be looked at, and mounting will say what it lacks
	}
	return fmt.Errorf("try an overlay: %w", err)
}

func (a answer) asError(name string) error {
	if a.yes {
		return nil
	}
	return fmt.Errorf("kernel or file system can not do %s (as found out since the last boot): %s: %w", name, a.reason, graphdriver.ErrNotSupported)
}

func (f *features) metacopy() bool {
	return f.can("metacopy("+f.driver.settings.mountopt+")", probeMetacopy)
}

func (f *features) nativeDiff() bool {
	return f.can("native-diff("+f.driver.settings.mountopt+")", probeNativeDiff)
}

func (f *features) volatile() bool { return f.can("volatile", probeVolatile) }

func (f *features) idmappedLowers() bool { return f.can("idmapped-lower-dir", probeIDMap) }

// detached tells whether overlays can be mounted without a mount point. It is asked anew in
// each process that needs to know.
func (f *features) detached() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trees == nil {
		yes := f.driver.try(probeDetached) == nil
		f.trees = &yes
	}
	return *f.trees
}

// try runs a probe in a directory of its own, which a later sweep removes if this process dies.
func (d *driver) try(run func(*probe) error) (err error) {
	temp, err := tempdir.New(d.homes[0].Temp())
	if err != nil {
		return fmt.Errorf("directory for a trial mount: %w", err)
	}
	defer func() { err = errors.Join(err, temp.Close()) }()
	p := &probe{driver: d, dir: temp.Addition()}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return err
	}
	return run(p)
}

// probeCache keeps answers as files "<question>-true" and "<question>-false"; the content of
// a no may be its reason.
type probeCache struct {
	dir string
	log interface{ Debug(msg string, args ...any) }
}

func (c probeCache) path(name string, yes bool) (path string, ok bool) {
	path = filepath.Join(c.dir, fmt.Sprintf("%s-%v", name, yes))
	return path, !strings.ContainsAny(name, "/\x00") && len(name) < 200
}

func (c probeCache) read(name string) (a answer, known bool) {
	yes, ok := c.path(name, true)
	if !ok {
		return answer{}, false
	}
	if _, err := os.Lstat(yes); err == nil {
		return answer{yes: true}, true
	}
	no, _ := c.path(name, false)
	text, err := atomicfile.Read(no)
	return answer{reason: strings.TrimSpace(string(text))}, err == nil
}

func (c probeCache) write(name string, a answer) {
	path, ok := c.path(name, a.yes)
	if !ok {
		return
	}
	if err := os.WriteFile(path, []byte(a.reason), 0o644); err != nil { //nolint:gosec // on-disk format, 4.9
		c.log.Debug("answer of a trial is not kept", "feature", name, "error", err)
	}
}

// missingError says that the kernel or the file system lacks something.
type missingError struct {
	class error // of graphdriver
	err   error
}

func (e *missingError) Error() string { return e.err.Error() }
func (e *missingError) Unwrap() error { return e.err }

func missing(err error) error { return &missingError{class: graphdriver.ErrNotSupported, err: err} }

// refused takes a failed mount for a no, unless it failed for want of something that may be
// there tomorrow.
func refused(err error) error {
	for _, passing := range []error{unix.ENOMEM, unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EMFILE, unix.ENFILE, unix.EBUSY} {
		if errors.Is(err, passing) {
			return err
		}
	}
	var k *mountapi.KernelError
	if errors.As(err, &k) {
		return missing(err)
	}
	return err
}
