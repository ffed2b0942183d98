package filecopy

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/rootfd"
)

// maxLinks is how many links one name may lead through, as in the kernel.
const maxLinks = 40

// Resolve follows the links in a name the way a process does that has the tree as
// its root directory: absolute targets begin at the root, and ".." ends there. The
// result is a cleaned name without links. With last, a link at the end is followed,
// too. What is not there stays in the name as it is.
//
// The result is true for the moment only; Root's methods refuse what became a link
// since.
func Resolve(root *rootfd.Root, name string, last bool) (string, error) {
	done, left := ".", split(name)
	for links := 0; len(left) > 0; {
		word := left[0]
		left = left[1:]
		switch word {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, word)
		target, err := root.Readlink(next)
		switch {
		case err == nil && (last || len(left) > 0):
			if links++; links > maxLinks {
				return "", fmt.Errorf("/%s: %w", strings.TrimPrefix(name, "/"), unix.ELOOP)
			}
			if path.IsAbs(target) {
				done = "."
			}
			left = append(split(target), left...)
		case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			done = next
		default:
			return "", err
		}
	}
	return done, nil
}

func split(name string) []string { return strings.Split(name, "/") }
