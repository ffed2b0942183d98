package archive

import (
	"encoding/binary"
)

// translate turns a capability into one that counts where the tree's owners are
// mapped: it names the user on the host that is root in the container. Without
// that name the kernel takes a capability for the host's root alone and ignores
// it in the container (capabilities(7), "Namespaced file capabilities"). Packing
// the tree turns it back.
func (s *attrSetter) translate(name, value string) string {
	if name != xattrCapability || s.opts.Mapping.Empty() || len(value) < capSize2 {
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
	host, _, err := s.opts.Mapping.ToHost(root, 0)
	if err != nil {
		return value // that user is nobody in this container
	}
	binary.LittleEndian.PutUint32(b[capSize2:], uint32(host))
	return string(b)
}
