package powertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/mountapi"
)

// observeVolumes reads the state of the volumes of a store in dir, as observe does that of
// images: without the library. What lies below the volumes and what was committed belongs to it.
func observeVolumes(dir string) (storeState, error) {
	out := storeState{}
	volumes := filepath.Join(dir, "graph/strata/volumes")
	records, err := volumeRecords(filepath.Join(volumes, "metadata.db"))
	if err != nil {
		return nil, err
	}
	for name, text := range records {
		content := filepath.Join(volumes, name, "_data")
		if strings.Contains(text, `"Driver":"ontop"`) {
			about, err := os.ReadFile(filepath.Join(dir, "graph/strata/ontop", name, "metadata.json"))
			if err != nil {
				return nil, err
			}
			text += string(about)
			content = filepath.Join(dir, "graph/strata/ontop", name, "upper")
		}
		if !strings.Contains(text, `"volatile":"yes"`) { // whose changes are nobody's
			text += treeSum(content)
		}
		out["volume "+name] = text
	}
	out["base"] = treeSum(filepath.Join(dir, "base"))
	outputs, err := filepath.Glob(filepath.Join(dir, "out", "[a-z]*"))
	for _, path := range outputs {
		out["output "+filepath.Base(path)] = treeSum(path)
	}
	return out, err
}

// volumeRecords are the records of the database, which is copied: a command may have it open.
func volumeRecords(path string) (records map[string]string, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	copied, err := os.CreateTemp("", "strata-power-*.db")
	if err != nil {
		return nil, err
	}
	defer os.Remove(copied.Name())
	_, err = copied.Write(data)
	if err := errors.Join(err, copied.Close()); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(copied.Name(), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	records = map[string]string{}
	return records, db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("volumes"))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(name, value []byte) error {
			records[string(name)] = string(value)
			return nil
		})
	})
}

// treeSum is a digest of what a tree holds: names, kinds, modes and contents.
func treeSum(dir string) string {
	sum := sha256.New()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n++
		fmt.Fprintln(sum, strings.TrimPrefix(path, dir), info.Mode())
		if e.IsDir() {
			opaque := make([]byte, 8)
			if size, err := unix.Lgetxattr(path, "trusted.overlay.opaque", opaque); err == nil {
				fmt.Fprintln(sum, "opaque", string(opaque[:size]))
			}
			return nil
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%d %x\n", len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		return " BROKEN " + err.Error()
	}
	return fmt.Sprintf(" %d entries %x", n, sum.Sum(nil)[:8])
}

// newBoot lets all programs of this mount namespace see another boot of the machine.
func newBoot() error {
	const bootID = "/proc/sys/kernel/random/boot_id"
	f, err := os.CreateTemp("", "strata-power-boot-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("01234567-89ab-4cde-8f01-23456789abcd\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return unix.Mount(f.Name(), bootID, "", unix.MS_BIND, "")
}

// strata runs the command on the recovered disk.
func (e examination) strata(args ...string) (string, error) {
	common := []string{"--graph", filepath.Join(e.Dir, "graph"), "--run", filepath.Join(e.Dir, "run-after-reboot"), "-s", e.Driver}
	cmd := exec.Command(e.Volumes, append(common, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_STORAGE_CONF=/dev/null")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out)), err
}

// lookAtVolumes goes through all that is promised about volumes.
func (e examination) lookAtVolumes(out *outcome) error {
	if err := newBoot(); err != nil {
		return err
	}
	if _, err := e.strata("volume", "ls"); err != nil {
		return err
	}
	// The next command that changes something puts right what was in progress.
	if _, err := e.strata("volume", "prune", "--force", "--filter", "label=nobody"); err != nil {
		return err
	}
	var err error
	if out.Swept, err = observeVolumes(e.Dir); err != nil {
		return err
	}
	listed, err := e.strata("volume", "ls", "--quiet")
	if err != nil {
		return err
	}
	names := strings.Fields(listed)
	if slices.Sort(names); !slices.Equal(names, out.Swept.ids("volume")) {
		out.Findings = append(out.Findings, fmt.Sprintf("listed are %v, recorded %v", names, out.Swept.ids("volume")))
	}
	for _, name := range names {
		if err := e.useVolume(name); err != nil {
			out.Errors = append(out.Errors, err.Error())
		}
	}
	after, err := observeVolumes(e.Dir)
	if err == nil && !maps.Equal(after, out.Swept) {
		out.Findings = append(out.Findings, after.differences(out.Swept)...)
	}
	return errors.Join(err, e.strays(out))
}

// useVolume mounts a volume, which makes one mount at most, and unmounts it.
func (e examination) useVolume(name string) error {
	path, err := e.strata("volume", "mount", "--id", "after", name)
	if err != nil {
		return err
	}
	_, err = os.ReadDir(path)
	mounts, tableErr := mountapi.Table(mountinfo.PrefixFilter(path))
	if len(mounts) > 1 {
		err = fmt.Errorf("volume %s: %d mounts at %s", name, len(mounts), path)
	}
	_, endErr := e.strata("volume", "unmount", "--id", "after", name)
	return errors.Join(err, tableErr, endErr)
}

// strays are folders of no volume, mounts, and containers that hold an image for nobody.
func (e examination) strays(out *outcome) error {
	for root, driver := range map[string]string{"volumes": "local", "ontop": "ontop"} {
		entries, err := os.ReadDir(filepath.Join(e.Dir, "graph/strata", root))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			if entry.IsDir() && out.Swept.record("volume", entry.Name())["Driver"] != driver {
				out.Findings = append(out.Findings, "stray folder "+root+"/"+entry.Name())
			}
		}
	}
	left, err := mountapi.Table(mountinfo.PrefixFilter(filepath.Join(e.Dir, "graph/strata")))
	for _, m := range left {
		out.Findings = append(out.Findings, "mount left at "+m.Mountpoint)
	}
	holders, listErr := e.strata("containers", "--json")
	if holders != "[]" {
		out.Findings = append(out.Findings, "containers left: "+holders)
	}
	return errors.Join(err, listErr)
}
