package oci

import (
	"context"
	"io"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// Store is what moving images needs of a *strata.Store.
type Store interface {
	Layer(ctx context.Context, nameOrID string) (layer.Layer, error)
	ImportLayer(ctx context.Context, opts strata.LayerOptions, diff io.Reader) (layer.Layer, error)
	ImportStack(ctx context.Context, opts strata.StackOptions, stack []strata.StackLayer) ([]layer.Layer, error)
	NewDraft() *strata.Draft
	HealLayer(ctx context.Context, id layer.ID, diff io.Reader) error
	Verify(ctx context.Context, opts strata.VerifyOptions) (*strata.VerifyReport, error)
	Diff(ctx context.Context, to, from string, opts strata.DiffOptions) (io.ReadCloser, error)

	Image(ctx context.Context, nameOrID string) (image.Image, error)
	Images(ctx context.Context) ([]image.Image, error)
	CreateImage(ctx context.Context, opts image.CreateOptions) (image.Image, error)
	AddNames(ctx context.Context, nameOrID string, names []string) ([]string, error)
	BigData(ctx context.Context, kind strata.Kind, nameOrID, key string) ([]byte, error)
	SetBigData(ctx context.Context, kind strata.Kind, nameOrID, key string, data []byte) error
}

var _ Store = (*strata.Store)(nil)
