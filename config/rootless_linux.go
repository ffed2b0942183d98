package config

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fullRange is the size of the one line of /proc/self/uid_map in the initial user namespace.
const fullRange = 4294967295

// rootless reports whether the process can not mount in the initial namespace:
// re-executed in a user namespace, without CAP_SYS_ADMIN, or without the full ID
// range (on-disk format, 8.5).
func rootless(getenv func(string) (string, bool)) bool {
	if v, _ := getenv("_CONTAINERS_USERNS_CONFIGURED"); v != "" {
		uid, _ := getenv("_CONTAINERS_ROOTLESS_UID")
		return uid != "0"
	}
	if !hasSysAdmin() {
		return true
	}
	f, err := os.Open("/proc/self/uid_map")
	if err != nil {
		return false
	}
	defer f.Close()
	return !hasFullRange(f)
}

func hasSysAdmin() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return os.Geteuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

func hasFullRange(uidMap io.Reader) bool {
	lines := bufio.NewScanner(uidMap)
	for lines.Scan() {
		var inside, outside, size int64
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &size); err == nil && inside == 0 && outside == 0 && size == fullRange {
			return true
		}
	}
	return false
}
