package tree

import (
	"os"

	"golang.org/x/sys/unix"
)

// Sync writes the file system that holds dir to its disk.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return retry(func() error { return unix.Syncfs(int(d.Fd())) })
}
