package powertest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/internal/bigdata"
)

// state is what a store's record files promise: for each object ("layer ID") its
// whole record, with the digests of the files that belong to it. It is read without
// the library: what is compared here must not depend on what is tested.
type storeState map[string]string

// kinds of records, and the folders that hold them.
var kinds = []string{"layer", "image", "container"}

// observe reads the state of a store. Layers that are flagged are not there yet, or
// not any more.
func observe(graph, driver string) (storeState, error) {
	out := storeState{}
	for _, kind := range kinds {
		dir := filepath.Join(graph, driver+"-"+kind+"s")
		for _, prefix := range []string{"", "volatile-"} {
			if err := out.read(kind, dir, filepath.Join(dir, prefix+kind+"s.json")); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (s storeState) read(kind, dir, file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var records []map[string]any
	if err := json.Unmarshal(data, &records); err != nil {
		return fmt.Errorf("%s (%d bytes): %w", file, len(data), err)
	}
	for _, r := range records {
		id, _ := r["id"].(string)
		if flags, _ := r["flags"].(map[string]any); flags["incomplete"] != nil {
			continue
		}
		files, err := filesOf(dir, id, r)
		if err != nil {
			return err
		}
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		s[kind+" "+id] = string(text) + files
	}
	return nil
}

// filesOf are the names and digests of the files that an object's record speaks of:
// its data items, and the tar-split of a layer that came as a tar.
func filesOf(dir, id string, record map[string]any) (string, error) {
	var paths []string
	keys, _ := record["big-data-names"].([]any)
	for _, key := range keys {
		name, err := bigdata.FileName(fmt.Sprint(key))
		if err != nil {
			return "", err
		}
		paths = append(paths, filepath.Join(dir, id, name))
	}
	if record["diff-digest"] != nil {
		paths = append(paths, filepath.Join(dir, id+".tar-split.gz"))
	}
	var out strings.Builder
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(&out, " %s=none", filepath.Base(p))
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, " %s=%x", filepath.Base(p), sha256.Sum256(data))
	}
	return out.String(), nil
}

// withoutDiff is the state in which a layer has no digests: while a diff is applied
// to it, what it was is lost and what it becomes is not there yet.
func (s storeState) withoutDiff(layer string) storeState {
	out := maps.Clone(s)
	r := s.record("layer", layer)
	for _, key := range []string{"compressed-diff-digest", "compressed-size", "compression", "diff-digest", "diff-size", "gidset", "uidset"} {
		delete(r, key)
	}
	if text, err := json.Marshal(r); err == nil && r != nil {
		out["layer "+layer] = string(text)
	}
	return out
}

// ids returns the IDs of one kind, sorted.
func (s storeState) ids(kind string) []string {
	var out []string
	for key := range s {
		if id, ok := strings.CutPrefix(key, kind+" "); ok {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// record decodes an object's record.
func (s storeState) record(kind, id string) map[string]any {
	var r map[string]any
	if err := json.NewDecoder(strings.NewReader(s[kind+" "+id])).Decode(&r); err != nil {
		return nil
	}
	return r
}

// differences says in what got differs from all of the states that are allowed,
// object by object: each has to be as in one of them.
func (s storeState) differences(allowed ...storeState) []string {
	keys := map[string]bool{}
	for _, state := range append(allowed, s) {
		for key := range state {
			keys[key] = true
		}
	}
	var out []string
	for key := range keys {
		got, there := s[key]
		ok := slices.ContainsFunc(allowed, func(a storeState) bool {
			want, wanted := a[key]
			return there == wanted && got == want
		})
		if ok {
			continue
		}
		text := fmt.Sprintf("%s: got %q", key, got)
		for _, a := range allowed {
			text += fmt.Sprintf("\n    want %q", a[key])
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}
