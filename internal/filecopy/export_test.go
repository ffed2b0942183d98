package filecopy

// TempNameOf is the name that another process's temporary files would have.
func TempNameOf(pid int) string {
	p := thisProcess()
	p.pid = uint64(pid)
	p.started, _ = started(p.pid)
	return p.tempName()
}
