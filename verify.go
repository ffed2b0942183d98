package strata

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// VerifyOptions belong to Verify.
type VerifyOptions struct {
	// Objects are IDs, names or unique prefixes: a layer stands for itself, an image
	// for its layers and data items, a container for its layer, its image and its
	// data items. None means everything.
	Objects []string
	// Trees also compares the files of each layer with its tar, as Check does: names too many,
	// lost marks of deletions, other attributes.
	Trees bool
	// Workers read side by side; 0 means as many as there are processors.
	Workers int
	// Progress, when not nil, is told how far it is, at least after every object and
	// never by two goroutines at once. It should return soon.
	Progress func(VerifyProgress)
}

// VerifyProgress is how far Verify or Check has come.
type VerifyProgress struct {
	// Done and Objects count layers and data items.
	Done, Objects int
	// Bytes and Total count what is to be read, by the recorded sizes.
	Bytes, Total int64
}

// VerifyReport is what Verify found.
type VerifyReport struct {
	// Layers and Items were read and compared, Bytes of them.
	Layers, Items int
	Bytes         int64
	// Unverified are layers with nothing to compare with, in listing order: those
	// that did not come as a tar, and forms that only their maker can read.
	Unverified []layer.ID
	// Findings are in listing order: layers, images, containers.
	Findings []Finding
}

// Verify reads every layer, as the tar that it came as, and every data item of
// images and containers, and compares them with the recorded digests and sizes. It
// goes on after a finding. No lock is held while reading and nothing is changed;
// what is deleted meanwhile is left out. An *UnknownError or ErrNotAnID for an
// object that there is not; a cancelled call returns the context's error.
func (s *Store) Verify(ctx context.Context, opts VerifyOptions) (*VerifyReport, error) {
	e, err := s.examine(ctx, nil)
	if err != nil {
		return nil, err
	}
	v := newVerifier(s, e, opts)
	if err := v.choose(ctx, opts.Objects); err != nil {
		return nil, err
	}
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	v.report.Findings = append(slices.Clone(e.findings), v.sorted()...)
	return &v.report, nil
}

// verifier is one run.
type verifier struct {
	store   *Store
	exam    *exam
	workers int
	// trees also compares the layers' trees with their tars.
	trees bool
	// quick compares only the sizes of data items.
	quick bool

	layersOf     map[layer.ID]*layer.Layer
	imagesOf     map[image.ID]*image.Image
	containersOf map[container.ID]*container.Container
	jobs         []verifyJob

	mu       sync.Mutex // guards what follows
	report   VerifyReport
	found    [][]Finding // by job
	state    VerifyProgress
	progress func(VerifyProgress)
	notified int64
}

// verifyJob reads one layer or one data item.
type verifyJob struct {
	bytes int64
	run   func(ctx context.Context, read func(n int)) ([]Finding, error)
}

func newVerifier(s *Store, e *exam, opts VerifyOptions) *verifier {
	v := &verifier{
		store: s, exam: e, workers: opts.Workers, progress: opts.Progress, trees: opts.Trees,
		layersOf: e.layerIndex(), imagesOf: e.imageIndex(), containersOf: e.containerIndex(),
	}
	if v.workers <= 0 {
		v.workers = runtime.GOMAXPROCS(0)
	}
	return v
}

// run does all jobs. Only the end of ctx stops it.
func (v *verifier) run(ctx context.Context) error {
	v.found = make([][]Finding, len(v.jobs))
	v.state.Objects = len(v.jobs)
	for _, job := range v.jobs {
		v.state.Total += job.bytes
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(v.workers)
	for i := range v.jobs {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return v.do(inner, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (v *verifier) do(ctx context.Context, i int) error {
	findings, err := v.jobs[i].run(ctx, v.read)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found[i] = findings
	v.state.Done++
	v.tell()
	return err
}

// notifyEvery is how many bytes are read between two calls of Progress.
const notifyEvery = 8 << 20

// read counts bytes as they are read.
func (v *verifier) read(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Bytes += int64(n)
	v.state.Bytes += int64(n)
	if v.state.Bytes-v.notified >= notifyEvery {
		v.tell()
	}
}

func (v *verifier) tell() {
	v.notified = v.state.Bytes
	if v.progress != nil {
		v.progress(v.state)
	}
}

// sorted returns the findings in the order of the jobs.
func (v *verifier) sorted() []Finding { return slices.Concat(v.found...) }
