package idmap

// Move takes files from one mapping to another: what From has shifted, To shifts
// instead. The zero Move changes nothing.
type Move struct {
	From, To Mapping
}

// Nobody is whom the kernel shows as owner where a mapping has no place for one
// (user_namespaces(7), "Unmapped user and group IDs"; its default).
const Nobody = 65534

// Owner returns the host-side owners after the move. Each ID that either mapping has no
// place for becomes Nobody, which is what a container with that mapping sees anyway. Only
// root's files that From does not have are taken for the container's root: some engines
// leave the root directories of their copies like that.
func (m Move) Owner(uid, gid int) (newUID, newGID int) {
	if uid == 0 && gid == 0 {
		if _, _, err := m.From.ToContainer(uid, gid); err != nil {
			return moved(nil, m.To.UIDs, 0), moved(nil, m.To.GIDs, 0)
		}
	}
	return moved(m.From.UIDs, m.To.UIDs, uid), moved(m.From.GIDs, m.To.GIDs, gid)
}

func moved(from, to []Range, id int) int {
	ctr, err := translate(from, id, "", false)
	if err == nil {
		id, err = translate(to, ctr, "", true)
	}
	if err != nil {
		return Nobody
	}
	return id
}

// Capability moves the root user of a file capability (security.capability).
func (m Move) Capability(value string) string {
	return m.To.CapabilityToHost(m.From.CapabilityToContainer(value))
}
