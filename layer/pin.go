package layer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pin remembers which layers a stream without a lock depends on. It does not keep
// anybody from deleting them; it tells afterwards whether somebody did. A layer
// that was deleted and made anew has another creation time.
type pin struct {
	store *Store
	made  map[ID]identity
}

// identity is what stays the same as long as a layer's content is the same.
type identity struct {
	created time.Time
	diff    DiffID
}

func (l *Layer) identity() identity { return identity{l.Created, l.DiffID} }

func (i identity) equal(o identity) bool { return i.created.Equal(o.created) && i.diff == o.diff }

func newPin(s *Store, layers ...Layer) *pin {
	p := &pin{store: s, made: make(map[ID]identity, len(layers))}
	for i := range layers {
		p.made[layers[i].ID] = layers[i].identity()
	}
	return p
}

// check returns an ErrVanished if a layer is gone or not the same any more.
func (p *pin) check(ctx context.Context) (err error) {
	tx, err := p.store.View(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, tx)
	for id, was := range p.made {
		l, err := tx.Get(id)
		if errors.Is(err, ErrUnknown) || err == nil && (!was.equal(l.identity()) || l.Incomplete()) {
			return fmt.Errorf("layer %s: %w", id, ErrVanished)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explain returns what went wrong while reading: an ErrVanished if that is the
// deeper reason for cause, which is only told then and not wrapped: files that go
// while they are read look like damage, and nobody is to repair them.
func (p *pin) explain(ctx context.Context, cause error) error {
	err := p.check(context.WithoutCancel(ctx))
	if errors.Is(err, ErrVanished) {
		return fmt.Errorf("%w (%v)", err, cause) //nolint:errorlint // see above
	}
	return cause
}
