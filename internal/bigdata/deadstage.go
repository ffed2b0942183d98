package bigdata

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// IsStage reports whether a directory's name is that of a stage.
func IsStage(name string) bool { return strings.HasPrefix(name, stagePrefix) }

// StageIsDead reports whether the process that made a stage is gone, so that
// SweepStages would remove it. A stage of which that can not be told is alive.
func StageIsDead(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	// A shared lock is enough to learn whether the owner holds the exclusive one.
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return errors.Join(err, f.Close()) == nil
}
