package plugin

import (
	"context"
	"errors"
	"time"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
)

// patience is how long what must be finished may take after its client is gone.
const patience = time.Minute

// job is one request to an open driver.
type job struct {
	driver  graphdriver.Driver
	request request
	extra   extra // of the request, or the zero value
	id      graphdriver.ID
	parent  graphdriver.ID
	// mapping is what owners are mapped by, standard those of Init.
	mapping, standard idmap.Mapping
}

func newJob(d graphdriver.Driver, standard idmap.Mapping, q request) job {
	j := job{
		driver: d, request: q, id: graphdriver.ID(q.ID), parent: graphdriver.ID(q.Parent),
		mapping: q.mapping(standard), standard: standard,
	}
	if q.Strata != nil {
		j.extra = *q.Strata
	}
	return j
}

func (j job) diffOptions() graphdriver.DiffOptions {
	opts := graphdriver.DiffOptions{Mapping: j.mapping, ParentMapping: j.standard, MountLabel: j.request.MountLabel}
	if j.request.Strata != nil {
		opts.ParentMapping = j.extra.ParentMapping
	}
	return opts
}

// methods answer the requests that need an open driver and are no streams.
var methods = map[string]func(ctx context.Context, j job) (response, error){
	create: makeLayer, createReadWrite: makeLayer, get: mountLayer, put: putLayer,
	remove: func(ctx context.Context, j job) (response, error) {
		return response{}, j.driver.Remove(ctx, j.id)
	},
	exists: func(ctx context.Context, j job) (response, error) {
		there, err := j.driver.Exists(ctx, j.id)
		return response{Exists: there}, err
	},
	status: func(_ context.Context, j job) (response, error) {
		var pairs [][2]string
		for _, item := range j.driver.Status() {
			pairs = append(pairs, [2]string{item.Key, item.Value})
		}
		return response{Status: pairs}, nil
	},
	metadata: func(ctx context.Context, j job) (response, error) {
		facts, err := j.driver.Metadata(ctx, j.id)
		return response{Metadata: facts}, err
	},
	changes: func(ctx context.Context, j job) (response, error) {
		var answer response
		list, err := j.driver.Changes(ctx, j.id, j.parent, j.diffOptions())
		for _, c := range list {
			answer.Changes = append(answer.Changes, change{Path: c.Path, Kind: int(c.Kind)})
		}
		return answer, err
	},
	diffSize: func(ctx context.Context, j job) (response, error) {
		n, err := j.driver.DiffSize(ctx, j.id, j.parent, j.diffOptions())
		return response{Size: n}, err
	},
	capabilities: func(_ context.Context, j job) (response, error) {
		var can graphdriver.Capabilities
		if c, ok := j.driver.(graphdriver.Capable); ok {
			can = c.Capabilities()
		}
		return response{Capabilities: &abilities{
			ReproducesExactDiffs: can.ReproducesExactDiffs, Strata: &strataAbilities{Version: version, Reowns: can.Reowns},
		}}, nil
	},
}

func makeLayer(ctx context.Context, j job) (response, error) {
	return response{}, j.driver.Create(ctx, j.id, j.parent, graphdriver.CreateOptions{
		Mapping: j.mapping, MountLabel: j.request.MountLabel, Reown: j.extra.Reown, StorageOpt: j.request.StorageOpt, Image: j.extra.Image,
	})
}

// putLayer goes to the end of it: a client that does not wait for that will not ask again.
func putLayer(ctx context.Context, j job) (response, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return response{}, j.driver.Put(ctx, j.id)
}

// mountLayer takes the mount back when nobody waits for it any more.
func mountLayer(ctx context.Context, j job) (response, error) {
	dir, err := j.driver.Get(ctx, j.id, graphdriver.MountOptions{
		Mapping: j.extra.Mapping, MountLabel: j.request.MountLabel, Options: j.extra.MountOptions,
		ReadOnly: j.extra.ReadOnly, Volatile: j.extra.Volatile,
	})
	if err == nil && ctx.Err() != nil {
		_, err = putLayer(ctx, j)
		return response{}, errors.Join(ctx.Err(), err)
	}
	return response{Dir: dir}, err
}

func applyOptions(j job) graphdriver.ApplyOptions {
	return graphdriver.ApplyOptions{Mapping: j.mapping, Limits: j.extra.Limits}
}
