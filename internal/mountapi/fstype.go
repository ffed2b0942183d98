package mountapi

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FSType is what statfs(2) calls the type of a file system.
type FSType int64

// The types that matter to strata beyond their names.
const (
	Overlayfs FSType = unix.OVERLAYFS_SUPER_MAGIC
	AUFS      FSType = 0x61756673
	Ecryptfs  FSType = unix.ECRYPTFS_SUPER_MAGIC
	XFS       FSType = unix.XFS_SUPER_MAGIC
	NFS       FSType = unix.NFS_SUPER_MAGIC
	SMB       FSType = unix.SMB_SUPER_MAGIC
	SMB2      FSType = unix.SMB2_SUPER_MAGIC
	CIFS      FSType = 0xff534d42
	AFS       FSType = unix.AFS_SUPER_MAGIC
	Ceph      FSType = unix.CEPH_SUPER_MAGIC
	Lustre    FSType = 0x0bd00bd0
	PanFS     FSType = 0xaad7aaea
	GPFS      FSType = 0x47504653
)

// fsNames are the names that the other engines print in their status.
var fsNames = map[FSType]string{
	AUFS: "aufs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.CRAMFS_MAGIC: "cramfs", Ecryptfs: "ecryptfs",
	unix.EXT4_SUPER_MAGIC: "extfs", unix.F2FS_SUPER_MAGIC: "f2fs", GPFS: "gpfs", unix.JFFS2_SUPER_MAGIC: "jffs2",
	0x3153464a: "jfs", NFS: "nfs", unix.RAMFS_MAGIC: "ramfs", unix.REISERFS_SUPER_MAGIC: "reiserfs",
	SMB: "smb", SMB2: "smb2", CIFS: "cifs", unix.SQUASHFS_MAGIC: "squashfs", unix.TMPFS_MAGIC: "tmpfs",
	0xa501fcf5: "vxfs", XFS: "xfs", 0x2fc12fc1: "zfs", Overlayfs: "overlayfs", unix.FUSE_SUPER_MAGIC: "fuse",
	0xca451a4e: "bcachefs", unix.EROFS_SUPER_MAGIC_V1: "erofs", Ceph: "ceph", AFS: "afs", Lustre: "lustre", PanFS: "panfs",
}

func (t FSType) String() string {
	if name := fsNames[t]; name != "" {
		return name
	}
	return "<unknown>"
}

// Network reports whether t keeps its files on another machine.
func (t FSType) Network() bool {
	switch t {
	case NFS, SMB, SMB2, CIFS, AFS, Ceph, Lustre, PanFS, GPFS:
		return true
	}
	return false
}

// FSTypeOf returns the type of the file system that path is on.
func FSTypeOf(path string) (FSType, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &st) }); err != nil {
		return 0, fmt.Errorf("type of the file system of %s: %w", path, err)
	}
	return FSType(uint32(st.Type)), nil
}
