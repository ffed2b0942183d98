package archive

import (
	"errors"
	"runtime"
	"sync"

	"github.com/stratastore/strata/internal/rootfd"
)

const (
	// noQueue: the object is there, or any worker may make it.
	noQueue = -1
	// queueDepth is how many jobs wait for one worker. With smallFile it bounds the
	// memory: 4 MiB for each worker.
	queueDepth = 64
	// queueRun is how many jobs in a row one worker gets: waking another one up
	// costs about as much as making a small file.
	queueRun = 16
	// maxWorkers: more only wait for the directory's lock.
	maxWorkers = 8
)

// errPoolStopped tells the one who feeds the workers to stop; the reason is
// what finish returns.
var errPoolStopped = errors.New("a worker failed")

// workers make small objects. Each has a queue of its own, and what depends on
// an object that is still waiting in a queue goes into the same one, behind it:
// so nobody ever waits for anybody, and nothing can lock up.
type workers struct {
	attrs  *attrSetter
	queues []chan *job
	tasks  sync.WaitGroup
	count  int

	failed chan struct{} // closed at the first error
	mu     sync.Mutex
	err    error
	errAt  int // the job that failed; the earliest is reported
}

func startWorkers(attrs *attrSetter, n int) *workers {
	if n <= 0 {
		n = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	w := &workers{attrs: attrs, failed: make(chan struct{})}
	for range n {
		queue := make(chan *job, queueDepth)
		w.queues = append(w.queues, queue)
		w.tasks.Go(func() { w.work(queue) })
	}
	return w
}

// submit gives a job away and says to which queue. It waits for room.
func (w *workers) submit(j *job, queue int) (int, error) {
	if queue == noQueue {
		queue = w.count / queueRun % len(w.queues)
	}
	j.number = w.count
	w.count++
	select {
	case w.queues[queue] <- j:
		return queue, nil
	case <-w.failed:
		j.free()
		return noQueue, errPoolStopped
	}
}

func (w *workers) work(queue <-chan *job) {
	for j := range queue {
		select {
		case <-w.failed:
		default:
			if err := j.run(w.attrs); err != nil {
				w.fail(j, err)
			}
		}
		j.free()
	}
}

func (w *workers) fail(j *job, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		close(w.failed)
	} else if j.number > w.errAt {
		return
	}
	w.err, w.errAt = unpackError(j.name, err), j.number
}

// finish waits for all jobs and returns the earliest error.
func (w *workers) finish() error {
	for _, queue := range w.queues {
		close(queue)
	}
	w.tasks.Wait()
	return w.err
}

type jobKind uint8

const (
	jobFile jobKind = iota
	jobSymlink
	jobLink
)

// job is one object that a worker makes.
type job struct {
	kind       jobKind
	number     int
	dir        *rootfd.Dir
	name, base string
	attrs      attrs
	content    *buffer // of a file; nil: empty
	target     string  // what a symbolic link says, or a hard link's source
	from       *rootfd.Dir
	fromBase   string
}

var jobs = sync.Pool{New: func() any { return new(job) }}

func newJob(kind jobKind, d *rootfd.Dir, name, base string, a attrs) *job {
	j := jobs.Get().(*job) //nolint:forcetypeassert // the pool has nothing else
	*j = job{kind: kind, dir: d.Hold(), name: name, base: base, attrs: a}
	return j
}

// free gives back what a job holds.
func (j *job) free() {
	buffers.put(j.content)
	j.dir.Release()
	if j.from != nil {
		j.from.Release()
	}
	*j = job{}
	jobs.Put(j)
}

func (j *job) run(s *attrSetter) error {
	switch j.kind {
	case jobSymlink:
		if err := replacing(j.dir, j.base, func() error { return j.dir.Symlink(j.target, j.base) }); err != nil {
			return err
		}
		return s.named(j.dir, j.base, &j.attrs)
	case jobLink:
		return j.link(s)
	}
	return j.file(s)
}

func (j *job) file(s *attrSetter) error {
	fd, err := createFile(j.dir, j.base, &j.attrs)
	if err != nil {
		return err
	}
	if j.content != nil {
		_, err = fd.Write(j.content.data)
	}
	if err == nil {
		err = s.open(fd, &j.attrs)
	}
	return errors.Join(err, fd.Close())
}

func (j *job) link(s *attrSetter) error {
	err := replacing(j.dir, j.base, func() error { return j.from.Link(j.fromBase, j.dir, j.base) })
	if err != nil {
		return linkError(j.target, err)
	}
	if s.opts.ForceMode != nil {
		return nil
	}
	return s.linked(j.dir, j.base, &j.attrs)
}
