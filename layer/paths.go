package layer

import (
	"path/filepath"
)

// Names in a <D>-layers directory (on-disk format, 1.1).
const (
	stableName   = "layers.json"
	volatileName = "volatile-layers.json"
	lockName     = "layers.lock"
	mountsName   = "mountpoints.json"
	mountsLock   = "mountpoints.lock"
	tempName     = "tmp"
	splitSuffix  = ".tar-split.gz"
)

// splitPath is where the tar-split of id lies below a <D>-layers directory. It
// refuses IDs that lead elsewhere: records come from strangers.
func splitPath(dir string, id ID) (string, error) {
	if err := id.Validate(); err != nil {
		return "", err
	}
	return filepath.Join(dir, string(id)+splitSuffix), nil
}

// dataPath is the directory of id's data items.
func dataPath(dir string, id ID) (string, error) {
	if err := id.Validate(); err != nil {
		return "", err
	}
	return filepath.Join(dir, string(id)), nil
}
