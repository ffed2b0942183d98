//go:build unix

package config

import (
	"os"
	"syscall"
)

// privateDir reports whether dir exists, belongs to uid and is closed to others.
func privateDir(dir string, uid int) bool {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}
