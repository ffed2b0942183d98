package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stratastore/strata/internal/lease"
)

// FlagCollectable marks layers that go when nothing needs them any more: those that
// were registered, and those that an image left to others when it was deleted. All
// other layers go only when somebody says so.
const FlagCollectable = "strata-collectable"

// Flags of read-write layers: the name, as text; and, on an init layer, the ID of
// the read-write layer that it was made for.
const (
	flagRWName = "strata-rw-name"
	flagInitOf = "strata-init-of"
)

// Collectable reports whether the layer goes when nothing needs it any more.
func (r *Record) Collectable() bool { return string(r.Flags[FlagCollectable]) == "true" }

// RWName is the name of a read-write layer of a ChainStore; "" for other layers.
func (r *Record) RWName() string { return r.textFlag(flagRWName) }

// OfChainStore reports whether a ChainStore looks after the layer: when it goes, what
// is below goes too, as far as that is collectable and nothing else needs it.
func (r *Record) OfChainStore() bool { return r.Collectable() || r.RWName() != "" || r.initOf() != "" }

// initOf is the read-write layer that an init layer belongs to; "" for other layers.
func (r *Record) initOf() ID { return ID(r.textFlag(flagInitOf)) }

func (r *Record) textFlag(name string) string {
	var text string
	if err := json.Unmarshal(r.Flags[name], &text); err != nil {
		return ""
	}
	return text
}

func textFlag(text string) json.RawMessage {
	data, _ := json.Marshal(text) // a string always has one
	return data
}

// keepers knows everything that keeps layers, for one moment: the transaction's
// records, those of images and containers, and leases.
type keepers struct {
	tx     *ReadTx
	users  HeldUsers
	leases map[string][]lease.Owner // of other holders
	own    func(ID) int             // leases of this holder
}

// keepers locks and reads what it needs beyond tx. The caller closes it before tx.
func (c *ChainStore) keepers(ctx context.Context, tx *ReadTx) (*keepers, error) {
	users, err := c.holdUsers(ctx)
	if err != nil {
		return nil, err
	}
	k := &keepers{tx: tx, users: users, own: func(ID) int { return 0 }}
	if k.leases, err = lease.Held(c.opts.LeaseDir); err != nil {
		return nil, errors.Join(err, users.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holder != nil && !c.closed {
		mine := c.holder
		k.own = func(id ID) int { return mine.Count(string(id)) }
		k.forget(mine.File())
	}
	return k, nil
}

// forget leaves one holder out.
func (k *keepers) forget(file string) {
	for id, owners := range k.leases {
		var others []lease.Owner
		for _, o := range owners {
			if o.File != file {
				others = append(others, o)
			}
		}
		k.leases[id] = others
	}
}

func (k *keepers) Close() error { return k.users.Close() }

// leased reports whether another holder has the layer, or this one more than mine times.
func (k *keepers) leased(id ID, mine int) bool {
	return len(k.leases[string(id)]) > 0 || k.own(id) > mine
}

// kept reports whether records keep the layer: it is no collectable one of the
// writable store, or a layer that is not going, an image or a container needs it.
func (k *keepers) kept(l *Layer, going map[ID]bool) (bool, error) {
	if l.ReadOnly || !l.Collectable() {
		return true, nil
	}
	for _, child := range k.tx.Children(l.ID) {
		if !going[child] {
			return true, nil
		}
	}
	user, err := k.users.UserOf(l.ID)
	return user != "", err
}

// doomed returns the layers that go when nothing but mine leases keep id: it and
// those below it that nothing else needs, top first.
func (k *keepers) doomed(id ID, mine int) (out []Layer, err error) {
	going := map[ID]bool{}
	for id != "" {
		l, err := k.tx.Get(id)
		if errors.Is(err, ErrUnknown) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if k.leased(id, mine) {
			return out, nil
		}
		if kept, err := k.kept(&l, going); err != nil || kept {
			return out, err
		}
		out = append(out, l)
		going[id], id, mine = true, l.Parent, 0
	}
	return out, nil
}

// unheld returns all layers that nothing keeps and that were made before a time,
// children first: collectable ones, and init layers whose creation was interrupted.
func (k *keepers) unheld(before time.Time) (out []Layer, err error) {
	layers, err := k.tx.Layers()
	if err != nil {
		return nil, err
	}
	v := &unheldVisit{keepers: k, before: before, going: map[ID]bool{}, seen: map[ID]bool{}}
	for i := range layers {
		if err := v.visit(&layers[i]); err != nil {
			return nil, err
		}
	}
	return v.out, nil
}

type unheldVisit struct {
	*keepers
	before      time.Time
	going, seen map[ID]bool
	out         []Layer
}

// visit looks at the layers on l first.
func (v *unheldVisit) visit(l *Layer) error {
	if v.seen[l.ID] {
		return nil
	}
	v.seen[l.ID] = true
	for _, id := range v.tx.Children(l.ID) {
		child, err := v.tx.Get(id)
		if err == nil {
			err = v.visit(&child)
		}
		if err != nil {
			return fmt.Errorf("layer on %s: %w", l.ID, err)
		}
	}
	if l.Incomplete() || l.Created.After(v.before) || v.leased(l.ID, 0) {
		return nil
	}
	if l.initOf() != "" && !l.ReadOnly && len(v.tx.Children(l.ID)) == 0 {
		return v.take(l)
	}
	if kept, err := v.kept(l, v.going); err != nil || kept {
		return err
	}
	return v.take(l)
}

func (v *unheldVisit) take(l *Layer) error {
	v.going[l.ID] = true
	v.out = append(v.out, *l)
	return nil
}
