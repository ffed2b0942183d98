package dockerroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/oci"
)

// maxNames caps the list of names.
const maxNames = 64 << 20

// readNames reads repositories.json into full references by image ID, sorted.
// References that are none, or point at no ID, are skipped.
func (r *Root) readNames() (map[digest.Digest][]string, error) {
	const file = "repositories.json"
	data, err := r.read(r.at("image", r.driver, file), maxNames)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var repositories struct {
		Repositories map[string]map[string]digest.Digest
	}
	if err := json.Unmarshal(data, &repositories); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", file, err, errdefs.ErrCorrupt)
	}
	names := map[digest.Digest][]string{}
	for _, references := range repositories.Repositories {
		for familiar, id := range references {
			full, err := oci.RegistryName(familiar)
			switch {
			case err != nil:
				r.skip("%s: %w", file, err)
			case id.Validate() != nil || id.Algorithm() != digest.SHA256:
				r.skip("%s: the name %s is that of %q, which is no image ID: %w", file, full, string(id), errdefs.ErrCorrupt)
			default:
				names[id] = append(names[id], full)
			}
		}
	}
	for id := range names {
		slices.Sort(names[id])
		names[id] = slices.Compact(names[id])
	}
	return names, nil
}

// isNamed reports whether wanted is one of the image's names.
func (i *imageEntry) isNamed(wanted string) bool {
	full, err := oci.RegistryName(wanted)
	return err == nil && slices.Contains(i.names, full)
}
