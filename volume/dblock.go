package volume

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// LockedError says that another process has the store open.
type LockedError struct {
	// Path is the database, Wait how long its lock was waited for.
	Path string
	Wait time.Duration
	// Holders are the processes that have the lock, as "1234 (strata)"; empty if they can
	// not be seen from here.
	Holders []string
}

func (e *LockedError) Error() string {
	by := "another process"
	if len(e.Holders) > 0 {
		by = "process " + strings.Join(e.Holders, ", ")
	}
	return fmt.Sprintf("volume metadata %s is locked by %s (waited %s)", e.Path, by, e.Wait)
}

// Unwrap returns errdefs.ErrLocked.
func (e *LockedError) Unwrap() error { return errdefs.ErrLocked }

// lockHolders finds who has a flock on the file at path in /proc/locks. The kernel hands
// that table out a buffer at a time and counts its lines anew for each, so locks that other
// processes take and give back meanwhile make it repeat a line or leave one out: a holder is
// named once, and a table without any is read again.
func lockHolders(path string) []string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return nil
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for range 3 {
		table, err := os.ReadFile("/proc/locks")
		if err != nil {
			return nil
		}
		if pids := flockHolders(string(table), file); len(pids) > 0 {
			holders := make([]string, len(pids))
			for i, pid := range pids {
				holders[i] = describeProcess(pid)
			}
			return holders
		}
	}
	return nil
}

// flockHolders returns the processes that a table in the form of proc_locks(5) names as
// holders of a flock on file ("major:minor:inode"), each once, in the table's order:
//
//	1: FLOCK  ADVISORY  WRITE 1234 08:02:131074 0 EOF
func flockHolders(table, file string) []int {
	var pids []int
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func describeProcess(pid int) string {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return strconv.Itoa(pid)
	}
	return fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(name)))
}
