package strata

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
)

// userFiles are the lists of users and groups that a container will have.
type userFiles struct {
	// root is the image's tree, "" for none; passwd and group replace its files.
	root, passwd, group string
}

func (f userFiles) complete() bool { return f.passwd != "" && f.group != "" }

// maxUserList bounds how much of a list is read, in bytes: it is the image's word.
const maxUserList = 16 << 20

// size is how many IDs cover all users and groups; 0 without any list. "nobody" and
// "nogroup" do not count: with them nearly every image would need all 65,536.
func (f userFiles) size() (int, error) {
	size := 0
	count := func(name string, ids ...int) {
		for _, id := range ids {
			if name != "nobody" && name != "nogroup" && id != idmap.Nobody {
				size = max(size, id+1)
			}
		}
	}
	err := f.read(f.passwd, "etc/passwd", func(r io.Reader) error {
		users, err := user.ParsePasswd(r)
		for _, u := range users {
			count(u.Name, u.Uid, u.Gid)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	err = f.read(f.group, "etc/group", func(r io.Reader) error {
		groups, err := user.ParseGroup(r)
		for _, g := range groups {
			count(g.Name, g.Gid)
		}
		return err
	})
	return size, err
}

// read opens a list: path on the host, else name inside of the image, through links that
// stay inside. One that the image lacks, or that is no file in it, is empty.
func (f userFiles) read(path, name string, parse func(io.Reader) error) error {
	file, err := f.open(path, name)
	if file == nil || err != nil {
		return err
	}
	defer file.Close() // only read
	if err := parse(io.LimitReader(file, maxUserList)); err != nil {
		return fmt.Errorf("read users of the container: %w", err)
	}
	return nil
}

func (f userFiles) open(path, name string) (*os.File, error) {
	switch {
	case path != "":
		return os.Open(path)
	case f.root == "":
		return nil, nil
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // the file has its own descriptor
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		var broken *fs.PathError
		if errors.As(err, &broken) {
			return nil, nil // missing, a loop, or a link that leads out: no list
		}
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
