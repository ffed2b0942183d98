package mountapi

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// Flags are generic mount flags, as mount(2) numbers them (MS_RDONLY and so on).
type Flags uintptr

// Has reports whether all of bits are set.
func (f Flags) Has(bits Flags) bool { return f&bits == bits }

// ReadOnly is the flag that the option "ro" sets.
const ReadOnly Flags = unix.MS_RDONLY

// flagWord is an option that the kernel knows for every file system.
type flagWord struct {
	word string
	bit  Flags
	// attr is the bit for fsmount(2); 0: it belongs to the file system's instance
	// and is set there by its word.
	attr uint64
	// off is the word that takes it back.
	off string
}

// flagWords are in the order in which Words writes them.
var flagWords = []flagWord{
	{"ro", unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY, "rw"},
	{"nosuid", unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID, "suid"},
	{"nodev", unix.MS_NODEV, unix.MOUNT_ATTR_NODEV, "dev"},
	{"noexec", unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC, "exec"},
	{"sync", unix.MS_SYNCHRONOUS, 0, "async"},
	{"dirsync", unix.MS_DIRSYNC, 0, ""},
	{"lazytime", unix.MS_LAZYTIME, 0, "nolazytime"},
	{"noatime", unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME, "atime"},
	{"nodiratime", unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME, "diratime"},
	{"relatime", unix.MS_RELATIME, 0, "norelatime"},
	{"strictatime", unix.MS_STRICTATIME, unix.MOUNT_ATTR_STRICTATIME, "nostrictatime"},
	{"nosymfollow", unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW, "symfollow"},
}

// atimeFlags exclude each other; the last one given counts.
const atimeFlags Flags = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME

// refused are words that would change what is mounted where, which is not the
// business of an option.
var refused = []string{
	"lowerdir", "lowerdir+", "datadir", "datadir+", "upperdir", "workdir", "source",
	"bind", "rbind", "move", "remount",
	"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
}

// Options are mount options, sorted by whom they are for.
type Options struct {
	// Flags are for the mount.
	Flags Flags
	// Data are for the file system, "key" or "key=value", in the order given. A key
	// stands here once: a later one replaces an earlier one.
	Data []string
}

// ParseOptions sorts the words of an option list: "nodev", "metacopy=on". Words that are no
// generic flags are taken to be the file system's, which judges them when it is mounted;
// words that would redirect the mount, and control characters, are an errdefs.ErrInvalid.
// Empty words and "defaults" mean nothing.
func ParseOptions(words []string) (Options, error) {
	var o Options
	for _, word := range words {
		if err := o.add(word); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

func (o *Options) add(word string) error {
	key, _, _ := strings.Cut(word, "=")
	switch {
	case word == "" || word == "defaults" || o.addFlag(word):
		return nil
	case key == "":
		return fmt.Errorf("mount option %q has no name: %w", word, errdefs.ErrInvalid)
	case slices.Contains(refused, key):
		return fmt.Errorf("mount option %q is not allowed here: %w", word, errdefs.ErrInvalid)
	case strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("mount option %q has control characters: %w", word, errdefs.ErrInvalid)
	}
	o.Drop(key)
	o.Data = append(o.Data, word)
	return nil
}

// addFlag reports whether word is a generic flag.
func (o *Options) addFlag(word string) bool {
	for _, f := range flagWords {
		switch {
		case word == f.word:
			if f.bit&atimeFlags != 0 {
				o.Flags &^= atimeFlags
			}
			o.Flags |= f.bit
			return true
		case f.off != "" && word == f.off:
			o.Flags &^= f.bit
			return true
		}
	}
	return false
}

// Value returns the value of a data option: "on" for key "metacopy" in "metacopy=on".
func (o *Options) Value(key string) (value string, ok bool) {
	for _, word := range o.Data {
		if k, v, _ := strings.Cut(word, "="); k == key {
			return v, true
		}
	}
	return "", false
}

// Set adds a data option, replacing one with the same key.
func (o *Options) Set(word string) {
	key, _, _ := strings.Cut(word, "=")
	o.Drop(key)
	o.Data = append(o.Data, word)
}

// Drop removes a data option.
func (o *Options) Drop(key string) {
	o.Data = slices.DeleteFunc(slices.Clone(o.Data), func(word string) bool {
		k, _, _ := strings.Cut(word, "=")
		return k == key
	})
}

// Words returns the options as one list, flags first: what ParseOptions reads.
func (o *Options) Words() []string {
	var words []string
	for _, f := range flagWords {
		if o.Flags.Has(f.bit) {
			words = append(words, f.word)
		}
	}
	return append(words, o.Data...)
}

// attrs are the flags for fsmount(2).
func (f Flags) attrs() (attrs uint64) {
	for _, w := range flagWords {
		if f.Has(w.bit) {
			attrs |= w.attr
		}
	}
	return attrs
}

// instanceWords are the flags that belong to the file system's instance; read-only counts
// on both sides, as with mount(2).
func (f Flags) instanceWords() (words []string) {
	for _, w := range flagWords {
		if f.Has(w.bit) && (w.attr == 0 && w.bit != unix.MS_RELATIME || w.bit == ReadOnly) {
			words = append(words, w.word)
		}
	}
	return words
}
