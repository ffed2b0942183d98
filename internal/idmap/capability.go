package idmap

import (
	"encoding/binary"
)

// Layout of the attribute security.capability, linux/capability.h: struct
// vfs_ns_cap_data is a struct vfs_cap_data with the namespace's root user behind it.
const (
	capRevisionMask = 0xff000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capSize2        = 20
	capSize3        = 24
)

// CapabilityToHost turns a container's file capability (the bytes of
// security.capability) into one that counts where owners are mapped: it names the
// user on the host that is root in the container (capabilities(7), "Namespaced file
// capabilities"). What has no such form stays as it is.
func (m Mapping) CapabilityToHost(value string) string {
	if m.Empty() || len(value) < capSize2 {
		return value
	}
	b := []byte(value)
	magic, root := binary.LittleEndian.Uint32(b), 0
	switch {
	case magic&capRevisionMask == capRevision2 && len(b) == capSize2:
		binary.LittleEndian.PutUint32(b, magic&^capRevisionMask|capRevision3)
		b = append(b, 0, 0, 0, 0)
	case magic&capRevisionMask == capRevision3 && len(b) == capSize3:
		root = int(binary.LittleEndian.Uint32(b[capSize2:]))
	default:
		return value
	}
	host, err := translate(m.UIDs, root, "UID", true)
	if err != nil {
		return value // that user is nobody in this container
	}
	binary.LittleEndian.PutUint32(b[capSize2:], uint32(host))
	return string(b)
}

// CapabilityToContainer turns a file capability that belongs to the mapped root user
// into the one that is seen inside of the container; any other stays as it is.
func (m Mapping) CapabilityToContainer(value string) string {
	if m.Empty() || len(value) != capSize3 {
		return value
	}
	b := []byte(value)
	magic := binary.LittleEndian.Uint32(b)
	if magic&capRevisionMask != capRevision3 {
		return value
	}
	root, err := translate(m.UIDs, int(binary.LittleEndian.Uint32(b[capSize2:])), "UID", false)
	switch {
	case err != nil:
		return value
	case root == 0:
		binary.LittleEndian.PutUint32(b, magic&^uint32(capRevisionMask)|capRevision2)
		return string(b[:capSize2])
	}
	binary.LittleEndian.PutUint32(b[capSize2:], uint32(root))
	return string(b)
}
