package oci

import "io"

// Progress is told about long work. Its methods are called from several
// goroutines; a nil Progress is not told anything.
type Progress interface {
	// Start begins one task: a label such as "layer 3f2a…", and its size in bytes or
	// -1 when it is not known.
	Start(label string, total int64) Task
}

// Task is one piece of work under way.
type Task interface {
	// Add reports n more bytes done.
	Add(n int64)
	// Done ends the task with a short remark ("done", "already there").
	Done(remark string)
}

type silent struct{}

func (silent) Start(string, int64) Task { return silent{} }
func (silent) Add(int64)                {}
func (silent) Done(string)              {}

func orSilent(p Progress) Progress {
	if p == nil {
		return silent{}
	}
	return p
}

// counted reports what is read to a task.
type counted struct {
	io.Reader
	task Task
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.task.Add(int64(n))
	return n, err
}
