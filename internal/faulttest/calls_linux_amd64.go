package faulttest

import "golang.org/x/sys/unix"

// What a call does decides who counts it.
type effect int

const (
	changes  effect = iota // changes files, names, attributes or mounts; or makes such a change last
	opens                  // makes a descriptor; whether it changes anything depends on its flags
	writes                 // changes a file if the descriptor is one
	controls               // ioctl: few of its requests change anything
)

// argument says what an argument of a call is, for descriptions.
type argument int

const (
	none   argument = iota
	path            // a path
	at              // a directory's descriptor followed by a path
	handle          // an open file
)

// call describes one system call.
type call struct {
	name   string
	effect effect
	args   []argument
}

// calls are those that can change what is on disk or mounted. Locks are not among
// them: they end with their process.
var calls = map[uint64]call{
	unix.SYS_OPEN:    {"open", opens, []argument{path}},
	unix.SYS_CREAT:   {"creat", opens, []argument{path}},
	unix.SYS_OPENAT:  {"openat", opens, []argument{at}},
	unix.SYS_OPENAT2: {"openat2", opens, []argument{at}},

	unix.SYS_WRITE:           {"write", writes, []argument{handle}},
	unix.SYS_PWRITE64:        {"pwrite64", writes, []argument{handle}},
	unix.SYS_WRITEV:          {"writev", writes, []argument{handle}},
	unix.SYS_PWRITEV:         {"pwritev", writes, []argument{handle}},
	unix.SYS_PWRITEV2:        {"pwritev2", writes, []argument{handle}},
	unix.SYS_SENDFILE:        {"sendfile", writes, []argument{handle}},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", changes, nil},
	unix.SYS_IOCTL:           {"ioctl", controls, []argument{handle}},
	unix.SYS_TRUNCATE:        {"truncate", changes, []argument{path}},
	unix.SYS_FTRUNCATE:       {"ftruncate", changes, []argument{handle}},
	unix.SYS_FALLOCATE:       {"fallocate", changes, []argument{handle}},

	unix.SYS_RENAME:    {"rename", changes, []argument{path, path}},
	unix.SYS_RENAMEAT:  {"renameat", changes, []argument{at, at}},
	unix.SYS_RENAMEAT2: {"renameat2", changes, []argument{at, at}},
	unix.SYS_LINK:      {"link", changes, []argument{path, path}},
	unix.SYS_LINKAT:    {"linkat", changes, []argument{at, at}},
	unix.SYS_SYMLINK:   {"symlink", changes, []argument{path, path}},
	unix.SYS_SYMLINKAT: {"symlinkat", changes, []argument{path, at}},
	unix.SYS_UNLINK:    {"unlink", changes, []argument{path}},
	unix.SYS_UNLINKAT:  {"unlinkat", changes, []argument{at}},
	unix.SYS_MKDIR:     {"mkdir", changes, []argument{path}},
	unix.SYS_MKDIRAT:   {"mkdirat", changes, []argument{at}},
	unix.SYS_RMDIR:     {"rmdir", changes, []argument{path}},
	unix.SYS_MKNOD:     {"mknod", changes, []argument{path}},
	unix.SYS_MKNODAT:   {"mknodat", changes, []argument{at}},

	unix.SYS_CHMOD:     {"chmod", changes, []argument{path}},
	unix.SYS_FCHMOD:    {"fchmod", changes, []argument{handle}},
	unix.SYS_FCHMODAT:  {"fchmodat", changes, []argument{at}},
	unix.SYS_FCHMODAT2: {"fchmodat2", changes, []argument{at}},
	unix.SYS_CHOWN:     {"chown", changes, []argument{path}},
	unix.SYS_LCHOWN:    {"lchown", changes, []argument{path}},
	unix.SYS_FCHOWN:    {"fchown", changes, []argument{handle}},
	unix.SYS_FCHOWNAT:  {"fchownat", changes, []argument{at}},
	unix.SYS_UTIME:     {"utime", changes, []argument{path}},
	unix.SYS_UTIMES:    {"utimes", changes, []argument{path}},
	unix.SYS_FUTIMESAT: {"futimesat", changes, []argument{at}},
	unix.SYS_UTIMENSAT: {"utimensat", changes, []argument{at}},

	unix.SYS_SETXATTR:      {"setxattr", changes, []argument{path}},
	unix.SYS_LSETXATTR:     {"lsetxattr", changes, []argument{path}},
	unix.SYS_FSETXATTR:     {"fsetxattr", changes, []argument{handle}},
	unix.SYS_SETXATTRAT:    {"setxattrat", changes, []argument{at}},
	unix.SYS_REMOVEXATTR:   {"removexattr", changes, []argument{path}},
	unix.SYS_LREMOVEXATTR:  {"lremovexattr", changes, []argument{path}},
	unix.SYS_FREMOVEXATTR:  {"fremovexattr", changes, []argument{handle}},
	unix.SYS_REMOVEXATTRAT: {"removexattrat", changes, []argument{at}},

	unix.SYS_FSYNC:           {"fsync", changes, []argument{handle}},
	unix.SYS_FDATASYNC:       {"fdatasync", changes, []argument{handle}},
	unix.SYS_SYNCFS:          {"syncfs", changes, []argument{handle}},
	unix.SYS_SYNC_FILE_RANGE: {"sync_file_range", changes, []argument{handle}},

	unix.SYS_MOUNT:         {"mount", changes, []argument{path, path}},
	unix.SYS_UMOUNT2:       {"umount2", changes, []argument{path}},
	unix.SYS_MOVE_MOUNT:    {"move_mount", changes, []argument{at, at}},
	unix.SYS_FSOPEN:        {"fsopen", changes, []argument{path}},
	unix.SYS_FSCONFIG:      {"fsconfig", changes, nil},
	unix.SYS_FSMOUNT:       {"fsmount", changes, nil},
	unix.SYS_OPEN_TREE:     {"open_tree", changes, []argument{at}},
	unix.SYS_MOUNT_SETATTR: {"mount_setattr", changes, []argument{at}},
}

// number is the system call that a stopped thread is about to run.
func number(r *unix.PtraceRegs) uint64 { return r.Orig_rax }

// arg is its argument i, from 0.
func arg(r *unix.PtraceRegs, i int) uint64 {
	return [...]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}[i]
}

// replace makes the call return an error instead of running.
func replace(r *unix.PtraceRegs, errno unix.Errno) {
	r.Orig_rax = ^uint64(0)
	r.Rax = uint64(-int64(errno))
}

const auditArch = unix.AUDIT_ARCH_X86_64
