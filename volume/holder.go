package volume

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Holder is somebody who uses a volume.
//
// ID tells holders of one volume apart; it is opaque, usually the ID of a container. With
// nothing else a holder lives as long as the Store value. With an identity that can be
// verified it is recorded on disk, and counts until that identity is over:
// PID and Start are a process, Boot is one run of the machine.
type Holder struct {
	ID string
	// PID is the process's number, 0 for none; Start is when it started, in clock ticks
	// since the boot (proc_pid_stat(5), field 22), since numbers are used again.
	PID   int    `json:",omitempty"`
	Start uint64 `json:",omitempty"`
	// Boot is the machine's boot ID (/proc/sys/kernel/random/boot_id).
	Boot string `json:",omitempty"`
}

// ProcessHolder returns a holder that lasts as long as a running process.
func ProcessHolder(id string, pid int) (Holder, error) {
	start, err := startTime(pid)
	if err != nil {
		return Holder{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	boot, err := BootID()
	return Holder{ID: id, PID: pid, Start: start, Boot: boot}, err
}

// BootHolder returns a holder that lasts until it is released or the machine restarts.
func BootHolder(id string) (Holder, error) {
	boot, err := BootID()
	return Holder{ID: id, Boot: boot}, err
}

// BootID returns the identity of this run of the machine.
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot ID: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// verifiable reports whether the holder can be told dead from alive, and so be recorded.
func (h Holder) verifiable() bool { return h.PID > 0 || h.Boot != "" }

// alive reports whether the holder may still be there; without an identity it may.
func (h Holder) alive(boot string) bool {
	if h.Boot != "" && boot != "" && h.Boot != boot {
		return false
	}
	if h.PID <= 0 {
		return true
	}
	start, err := startTime(h.PID)
	if os.IsNotExist(err) {
		return false
	}
	return err != nil || h.Start == 0 || h.Start == start
}

// startTime reads field 22 of a process's stat; the name in field 2 may hold anything, so
// counting begins behind its closing bracket.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// reference is one holder's hold on a volume.
type reference struct {
	Holder
	// Mounts is how many mounts of the driver the holder has not taken back.
	Mounts int `json:",omitempty"`
	// Kept is set when the holder asked to be one, so that it stays when its last mount
	// is taken back.
	Kept bool `json:",omitempty"`
	// Busy is set while the driver mounts or unmounts for the holder. Where it is found on
	// disk the driver may have one mount more than Mounts says.
	Busy bool `json:",omitempty"`
}
