package idmap

// Move takes files from one mapping to another: what From has shifted, To shifts
// instead. The zero Move changes nothing.
type Move struct {
	From, To Mapping
}

// Owner returns the host-side owners after the move. Root's files that From does not
// have were never shifted (the root directories of some engines' copies): they are
// taken for the container's root, and stay if To does not have that either. Other
// owners without a range are an ErrUnmapped.
func (m Move) Owner(uid, gid int) (newUID, newGID int, err error) {
	root := uid == 0 && gid == 0
	ctrUID, ctrGID, err := m.From.ToContainer(uid, gid)
	if err != nil && root {
		ctrUID, ctrGID, err = 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	newUID, newGID, err = m.To.ToHost(ctrUID, ctrGID)
	if err != nil && ctrUID == 0 && ctrGID == 0 {
		return 0, 0, nil
	}
	return newUID, newGID, err
}

// Capability moves the root user of a file capability (security.capability).
func (m Move) Capability(value string) string {
	return m.To.CapabilityToHost(m.From.CapabilityToContainer(value))
}
