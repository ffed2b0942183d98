package mountapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/moby/sys/mountinfo"
)

// lineRoom is what of a line in the mount table is read. What a line begins with, two paths and
// the types, is shorter; at its end are an overlay's options, with hundreds of lower
// directories longer than the parser takes.
const lineRoom = 32 << 10

// Table returns the mounts of the calling thread's namespace that filter does not skip (nil: all),
// in the table's order (proc_pid_mountinfo(5)). Of a very long line's options the end is missing.
func Table(filter mountinfo.FilterFunc) ([]*mountinfo.Info, error) {
	// A thread may have another namespace than the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	defer f.Close() // only read
	mounts, err := parseTable(f, filter)
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	return mounts, nil
}

func parseTable(table io.Reader, filter mountinfo.FilterFunc) ([]*mountinfo.Info, error) {
	var short bytes.Buffer
	in := bufio.NewReaderSize(table, lineRoom)
	for {
		line, more, err := in.ReadLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		short.Write(line)
		short.WriteByte('\n')
		for more && err == nil {
			_, more, err = in.ReadLine()
		}
		if err != nil {
			return nil, err
		}
	}
	return mountinfo.GetMountsFromReader(&short, filter)
}
