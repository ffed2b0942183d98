package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
)

// packer writes nodes of a tree as tar entries. Paths start with a slash.
type packer struct {
	out     *bufio.Writer
	tar     *tar.Writer
	mapping idmap.Mapping
	attrs   xattrReader
	log     *slog.Logger
	// first holds, for every inode with more names, the one that was written.
	first map[inode]string
	// changed holds a line for each file that changed while it was read.
	changed []error
}

func newPacker(w io.Writer, opts PackOptions) *packer {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	out := bufio.NewWriterSize(w, packBuffer)
	return &packer{
		out: out, tar: tar.NewWriter(out), log: log, mapping: opts.Mapping,
		attrs: xattrReader{mapping: opts.Mapping, format: opts.Whiteouts},
		first: make(map[inode]string),
	}
}

// finish writes the end of the archive. It reports the files that changed while
// they were read: only now, so that the reader has a complete tar.
func (p *packer) finish() error {
	if err := errors.Join(p.tar.Close(), p.out.Flush()); err != nil {
		return fmt.Errorf("write tar: %w", err)
	}
	return errors.Join(p.changed...)
}

// entry writes one node with its content. ok is false if it is left out of the
// tar because a tar can not hold it.
func (p *packer) entry(ctx context.Context, n *node, path string) (ok bool, err error) {
	switch {
	case n.kind() == unix.S_IFSOCK:
		p.log.Warn("socket left out of tar", "path", path)
		return false, nil
	case n.isWhiteout():
		p.log.Warn("device 0:0 would delete its name on overlay, left out of tar", "path", path)
		return false, nil
	case hasMarkName(path):
		p.log.Warn("name can not be told from a whiteout, left out of tar", "path", path)
		return false, nil
	case n.isRegular() && p.first[n.inode()] == "":
		return true, p.regular(ctx, n, path)
	}
	hdr, err := p.header(n, path)
	if err != nil {
		return false, err
	}
	return true, p.write(hdr, n)
}

// regular writes a file with its content. The descriptor is opened before the
// header is made, so that the two belong together.
func (p *packer) regular(ctx context.Context, n *node, path string) error {
	f, err := openRegular(n)
	if err != nil {
		return pathError("open", path, err)
	}
	defer f.release()
	hdr, err := p.header(n, path)
	if err != nil {
		return err
	}
	if err := p.write(hdr, n); err != nil {
		return err
	}
	return p.content(ctx, f, hdr.Size, path)
}

// header describes n; a later name of an inode becomes a hard link to the first.
func (p *packer) header(n *node, path string) (*tar.Header, error) {
	uid, gid, err := p.mapping.ToContainer(int(n.st.Uid), int(n.st.Gid))
	if err != nil {
		return nil, pathError("owner of", path, err)
	}
	hdr := &tar.Header{
		Format: tar.FormatPAX,
		Name:   path[1:],
		Mode:   int64(n.st.Mode & 0o7777),
		Uid:    uid, Gid: gid,
		ModTime: time.Unix(n.st.Mtim.Sec, 0),
	}
	if target := p.first[n.inode()]; target != "" {
		hdr.Typeflag, hdr.Linkname = tar.TypeLink, target
		return hdr, nil
	}
	if err := describe(hdr, n); err != nil {
		return nil, pathError("read", path, err)
	}
	if err := p.addXattrs(hdr, n, path); err != nil {
		return nil, pathError("read attributes of", path, err)
	}
	return hdr, nil
}

// describe fills in what depends on the type.
func describe(hdr *tar.Header, n *node) (err error) {
	switch n.kind() {
	case unix.S_IFREG:
		hdr.Typeflag, hdr.Size = tar.TypeReg, n.st.Size
	case unix.S_IFDIR:
		hdr.Typeflag = tar.TypeDir
		hdr.Name += "/"
	case unix.S_IFLNK:
		hdr.Typeflag = tar.TypeSymlink
		hdr.Linkname, err = readLink(n)
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if n.kind() == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(n.st.Rdev)), int64(unix.Minor(n.st.Rdev))
	default:
		err = fmt.Errorf("file type %#o has no place in a tar", n.kind())
	}
	return err
}

func (p *packer) addXattrs(hdr *tar.Header, n *node, path string) error {
	attrs, err := p.attrs.content(n)
	if err != nil || len(attrs) == 0 {
		return err
	}
	hdr.PAXRecords = make(map[string]string, len(attrs))
	for _, x := range attrs {
		if strings.ContainsRune(x.name, '=') {
			// A PAX record ends its key with the first equals sign.
			p.log.Warn("extended attribute left out of tar", "path", path, "attribute", x.name)
			continue
		}
		hdr.PAXRecords[paxXattr+x.name] = x.value
	}
	return nil
}

// write writes the header of n. The first of an inode's names becomes the file
// that its other names will be links to.
func (p *packer) write(hdr *tar.Header, n *node) error {
	if n.linked() && hdr.Typeflag != tar.TypeLink {
		p.first[n.inode()] = hdr.Name
	}
	return p.writeHeader(hdr)
}

func (p *packer) writeHeader(hdr *tar.Header) error {
	if err := p.tar.WriteHeader(hdr); err != nil {
		return fmt.Errorf("write tar header of %q: %w", hdr.Name, err)
	}
	return nil
}

// whiteout writes an entry that deletes path: an empty file of root's without
// permissions, and with the time of the directory that it stands in.
func (p *packer) whiteout(path string, sec int64) error {
	dir, base := splitPath(path)
	if strings.HasPrefix(base, whiteoutPrefix) {
		p.log.Warn("name can not be told from a whiteout, deletion left out of tar", "path", path)
		return nil
	}
	name := (dir + "/" + whiteoutPrefix + base)[1:]
	return p.writeHeader(&tar.Header{
		Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: name, ModTime: time.Unix(sec, 0),
	})
}
