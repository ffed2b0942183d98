package faulttest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launchEnv, when set, makes a test program a launcher; see Launch.
const launchEnv = "STRATA_FAULTTEST_LAUNCH"

// Launch is called first thing by the TestMain of tests that use Run. In a process
// that Run has started it installs the filter and becomes the program to be traced;
// in all others it does nothing.
func Launch() {
	if os.Getenv(launchEnv) == "" {
		return
	}
	err := launch(os.Args[1:])
	fmt.Fprintln(os.Stderr, "launch:", err)
	os.Exit(126)
}

func launch(argv []string) error {
	runtime.LockOSThread() // a filter belongs to the thread, and so does what it becomes
	if err := os.Unsetenv(launchEnv); err != nil {
		return err
	}
	if err := install(program()); err != nil {
		return fmt.Errorf("install filter: %w", err)
	}
	return fmt.Errorf("run %s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}

// program stops a thread for its tracer at each of the calls and lets all others pass.
func program() []unix.SockFilter {
	const (
		numberAt = 0 // offset in struct seccomp_data
		archAt   = 4
	)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	give := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	out := []unix.SockFilter{load(archAt), equal(auditArch, 1, 0), give(unix.SECCOMP_RET_ALLOW), load(numberAt)}
	var numbers []uint64
	for n := range calls {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		out = append(out, equal(uint32(n), 0, 1), give(unix.SECCOMP_RET_TRACE))
	}
	return append(out, give(unix.SECCOMP_RET_ALLOW))
}

func install(filter []unix.SockFilter) error {
	if os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}
