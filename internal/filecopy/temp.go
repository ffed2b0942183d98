package filecopy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/rootfd"
)

// tempPrefix begins the names of files that have no other one yet.
const tempPrefix = ".strata-copy-"

// randomLen is how long the random end of such a name is.
const randomLen = 8

// process is who made such a file: a process's number, the namespace in which that counts,
// and when it was started, since numbers are used again. The zero value is nobody.
type process struct {
	space, pid, started uint64
}

// thisProcess is nobody where there is no /proc.
func thisProcess() process {
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return process{}
	}
	p := process{pid: uint64(os.Getpid())}
	if _, err := fmt.Sscanf(space, "pid:[%d]", &p.space); err != nil {
		return process{}
	}
	if p.started, err = started(p.pid); err != nil {
		return process{}
	}
	return p
}

// started reads when a process was started, in ticks since boot (proc_pid_stat(5), 22).
func started(pid uint64) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name, with anything in it but the last ")".
	rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("state of process %d is cut", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// String is how the process stands in names.
func (p process) String() string { return fmt.Sprintf("%d-%d-%d", p.space, p.pid, p.started) }

// tempName makes a name that tells whose it is.
func (p process) tempName() string {
	return fmt.Sprintf("%s%s-%s", tempPrefix, p, rand.Text()[:randomLen])
}

// isDead reports whether a name is that of a file whose maker has ended. Of processes
// in other namespaces nothing is known.
func (p process) isDead(name string) bool {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || p == (process{}) {
		return false
	}
	var maker process
	var random string
	if n, err := fmt.Sscanf(rest, "%d-%d-%d-%s", &maker.space, &maker.pid, &maker.started, &random); n != 4 || err != nil || len(random) != randomLen {
		return false
	}
	if maker.space != p.space {
		return false
	}
	began, err := started(maker.pid)
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || err == nil && began != maker.started
}

// sweep removes, once for each directory, what killed copies left in it.
func (c *copier) sweep(dir *rootfd.Dir) error {
	st, err := rootfd.FD(dir.FD()).Stat()
	if err != nil || c.swept[inodeOf(st)] {
		return err
	}
	c.swept[inodeOf(st)] = true
	return dir.EachName(func(name string) error {
		if !c.self.isDead(name) {
			return nil
		}
		if err := dir.RemoveAll(name); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove what a killed copy left: %w", err)
		}
		return nil
	})
}
