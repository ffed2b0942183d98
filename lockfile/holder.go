package lockfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// describeUnknown finds the holder that the kernel does not name: first by the
// locks that /proc lists with each descriptor (which needs the right to look at
// that process), else by the token, which at least knows who wrote last.
func describeUnknown(f *os.File) string {
	if pid := searchHolder(f); pid != 0 {
		return describeProcess(pid)
	}
	t, err := readToken(f)
	if err != nil || t.writer() == 0 || program(t.writer()) == "" {
		return "somebody else"
	}
	return "another process; last written by " + describeProcess(t.writer())
}

func describeProcess(pid int) string {
	name := program(pid)
	switch {
	case pid == os.Getpid():
		return fmt.Sprintf("PID %d (this process)", pid)
	case name == "":
		return fmt.Sprintf("PID %d", pid)
	default:
		return fmt.Sprintf("PID %d (%s)", pid, name)
	}
}

// program returns the name of a running process, or "".
func program(pid int) string {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(comm))
}

// searchHolder returns a process that has a lock on f's file through an open file
// description, or 0.
func searchHolder(f *os.File) int {
	want, err := f.Stat()
	if err != nil {
		return 0
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, link := range links {
		info, err := os.Stat(link)
		if err != nil || !os.SameFile(info, want) {
			continue
		}
		proc, fd := filepath.Dir(filepath.Dir(link)), filepath.Base(link)
		if hasLock(filepath.Join(proc, "fdinfo", fd)) {
			pid, _ := strconv.Atoi(filepath.Base(proc)) // the glob gave digits first
			return pid
		}
	}
	return 0
}

// hasLock reports whether a descriptor's fdinfo lists a lock (proc_pid_fdinfo(5)).
func hasLock(fdinfo string) bool {
	data, err := os.ReadFile(fdinfo)
	return err == nil && bytes.Contains(data, []byte("\nlock:"))
}
