package layer

import (
	"context"
	"io"
)

// Users tells what else than layers needs layers: images and containers, whose
// records come after the layers' in the order of locks.
type Users interface {
	// Hold locks those records, shared, for a caller with a transaction of layers.
	Hold(ctx context.Context) (HeldUsers, error)
}

// HeldUsers are records that nobody changes until Close.
type HeldUsers interface {
	// UserOf says in words what needs the layer ("image 0815…"), "" if nothing does.
	UserOf(id ID) (string, error)
	io.Closer
}

// noUsers is for stores of nothing but layers.
type noUsers struct{}

func (noUsers) Hold(context.Context) (HeldUsers, error) { return noUsers{}, nil }
func (noUsers) UserOf(ID) (string, error)               { return "", nil }
func (noUsers) Close() error                            { return nil }

func (c *ChainStore) holdUsers(ctx context.Context) (HeldUsers, error) {
	if c.opts.Users == nil {
		return noUsers{}, nil
	}
	return c.opts.Users.Hold(ctx)
}
