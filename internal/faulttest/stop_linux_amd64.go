package faulttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// stop is a thread that is about to run a call.
type stop struct {
	pid  int
	regs *unix.PtraceRegs
}

func (s stop) call() call { return calls[number(s.regs)] }

// counts reports whether the call is of the class.
func (s stop) counts(class Class, watch string) bool {
	if class == Opening {
		return s.call().effect == opens && strings.HasPrefix(s.paths()[0], watch+"/")
	}
	switch s.call().effect {
	case opens:
		return s.creates()
	case writes:
		return isFile(s.handle(arg(s.regs, 0)))
	case controls:
		request := arg(s.regs, 1)
		return request == unix.FICLONE || request == unix.FICLONERANGE || request == unix.FIDEDUPERANGE
	}
	return true
}

// isFile tells files from pipes, sockets, devices and memory.
func isFile(target string) bool {
	return strings.HasPrefix(target, "/") && (!strings.HasPrefix(target, "/dev/") || strings.HasPrefix(target, "/dev/shm/")) && !strings.HasPrefix(target, "/memfd:")
}

// creates reports whether an opening call makes or empties a file.
func (s stop) creates() bool {
	const making = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY
	switch number(s.regs) {
	case unix.SYS_CREAT:
		return true
	case unix.SYS_OPEN:
		return arg(s.regs, 1)&making != 0
	case unix.SYS_OPENAT2:
		how := s.read(arg(s.regs, 2), 8)
		return len(how) == 8 && binary.NativeEndian.Uint64(how)&making != 0
	}
	return arg(s.regs, 2)&making != 0
}

// handle is what a descriptor is open on.
func (s stop) handle(fd uint64) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", s.pid, int32(fd)))
	if err != nil {
		return fmt.Sprintf("%d", int32(fd))
	}
	return target
}

// paths are what the call is about.
func (s stop) paths() []string {
	var out []string
	i := 0
	for _, a := range s.call().args {
		switch a {
		case path:
			out = append(out, s.text(arg(s.regs, i)))
		case handle:
			out = append(out, s.handle(arg(s.regs, i)))
		case at:
			out = append(out, s.at(arg(s.regs, i), arg(s.regs, i+1)))
			i++
		}
		i++
	}
	return out
}

func (s stop) at(dir, name uint64) string {
	p := s.text(name)
	if strings.HasPrefix(p, "/") || int32(dir) == unix.AT_FDCWD {
		return p
	}
	return s.handle(dir) + "/" + p
}

// text reads a string of the stopped process.
func (s stop) text(address uint64) string {
	if address == 0 {
		return ""
	}
	const page = 4096
	var out []byte
	for len(out) < unix.PathMax {
		// A read never crosses into a page that may not be there.
		piece := s.read(address, int(page-address%page))
		if end := bytes.IndexByte(piece, 0); end >= 0 {
			return string(append(out, piece[:end]...))
		}
		if len(piece) == 0 {
			break
		}
		out = append(out, piece...)
		address += uint64(len(piece))
	}
	return string(out)
}

func (s stop) read(address uint64, size int) []byte {
	buf := make([]byte, size)
	local := []unix.Iovec{{Base: &buf[0]}}
	local[0].SetLen(size)
	n, err := unix.ProcessVMReadv(s.pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: size}}, 0)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// String is the call with what it is about.
func (s stop) String() string {
	return s.call().name + "(" + strings.Join(s.paths(), ", ") + ")"
}
