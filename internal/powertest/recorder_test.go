package powertest

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// page is the unit in which the recorder keeps what was written.
const page = 4096

// event is one write, or, without data, a flush.
type event struct {
	off  int64
	data []byte
}

func (e event) flush() bool { return e.data == nil }

// recorder is a disk that keeps everything that was ever asked of it. It is safe
// for concurrent use.
type recorder struct {
	size int64

	mu    sync.Mutex
	pages map[int64][]byte // the newest content, by page number
	log   []event
}

func newRecorder(size int64) *recorder { return &recorder{size: size, pages: map[int64][]byte{}} }

// position is how many events there were so far.
func (r *recorder) position() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}

// events returns the log from one position to another. It must not be changed.
func (r *recorder) events(from, to int) []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.log[from:to])
}

func (r *recorder) write(data []byte, off int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, event{off, slices.Clone(data)})
	for len(data) > 0 {
		at := off % page
		p := r.pages[off/page]
		if p == nil {
			p = make([]byte, page)
			r.pages[off/page] = p
		}
		n := copy(p[at:], data)
		data, off = data[n:], off+int64(n)
	}
}

func (r *recorder) read(dest []byte, off int64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	dest = dest[:max(0, min(int64(len(dest)), r.size-off))]
	for done := 0; done < len(dest); {
		at := (off + int64(done)) % page
		piece := dest[done:min(len(dest), done+int(page-at))]
		if p := r.pages[(off+int64(done))/page]; p != nil {
			copy(piece, p[at:])
		} else {
			clear(piece)
		}
		done += len(piece)
	}
	return dest
}

func (r *recorder) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, event{})
}

// diskFile is the recorder as the only file of a FUSE file system. Every access is
// direct: the kernel keeps nothing of it.
type diskFile struct {
	fs.Inode
	rec *recorder
}

var (
	_ fs.NodeGetattrer = (*diskFile)(nil)
	_ fs.NodeSetattrer = (*diskFile)(nil)
	_ fs.NodeOpener    = (*diskFile)(nil)
	_ fs.NodeReader    = (*diskFile)(nil)
	_ fs.NodeWriter    = (*diskFile)(nil)
	_ fs.NodeFsyncer   = (*diskFile)(nil)
)

func (f *diskFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, uint64(f.rec.size), page
	return fs.OK
}

// Setattr has nothing to set: the disk keeps its size.
func (f *diskFile) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

func (f *diskFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, fs.OK
}

func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(f.rec.read(dest, off)), fs.OK
}

func (f *diskFile) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if off+int64(len(data)) > f.rec.size {
		return 0, syscall.ENOSPC
	}
	f.rec.write(data, off)
	return uint32(len(data)), fs.OK
}

func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.rec.flush()
	return fs.OK
}

// diskName is the file's name in its file system.
const diskName = "disk"

// serve mounts the recorder at dir, in the mount namespace of the calling thread.
func serve(dir string, rec *recorder) (*fuse.Server, error) {
	root := &fs.Inode{}
	second := time.Second
	return fs.Mount(dir, root, &fs.Options{
		AttrTimeout: &second, EntryTimeout: &second,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "recorder", Name: "strata", MaxWrite: 1 << 20},
		OnAdd: func(ctx context.Context) {
			file := root.NewPersistentInode(ctx, &diskFile{rec: rec}, fs.StableAttr{Mode: syscall.S_IFREG})
			root.AddChild(diskName, file, false)
		},
	})
}
