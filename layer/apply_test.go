package layer

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

func TestApplyDiff(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		parent := load(t, s, "", baseTar(t))
		l := create(t, s, CreateOptions{Parent: parent.ID})
		child := create(t, s, CreateOptions{Parent: l.ID})
		upper := upperTar(t)
		for name, blob := range map[string][]byte{
			"rubbish": bytes.Repeat([]byte("rubbish"), 1000), "cut": gzipped(t, upper)[:50],
		} {
			if _, err := s.ApplyDiff(ctx, l.ID, bytes.NewReader(blob), ApplyOptions{}); err == nil {
				t.Errorf("%s was applied", name)
			}
			if data, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(data, make([]byte, 1024)) {
				t.Errorf("%s: the layer changed: %d bytes, %v", name, len(data), err)
			}
		}
		in, err := s.ApplyDiff(ctx, l.ID, bytes.NewReader(gzipped(t, upper)), ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l = get(t, s, l.ID)
		if DiffID(in.Diff) != l.DiffID || l.DiffID != DiffID(testutil.Digest(upper)) || l.Compression != archive.Gzip {
			t.Errorf("record %+v", l.Record)
		}
		if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, upper) {
			t.Errorf("diff: %v", err)
		}
		if _, err := s.ApplyDiff(ctx, "nope", bytes.NewReader(upper), ApplyOptions{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("unknown layer: %v", err)
		}
		// A second diff replaces the first one's digests.
		more := testutil.Tar(t, testutil.Entry{Name: "more", Body: "more"})
		if _, err := s.ApplyDiff(ctx, l.ID, bytes.NewReader(more), ApplyOptions{Expect: DiffID(testutil.Digest(more))}); err != nil {
			t.Fatal(err)
		}
		if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, more) {
			t.Errorf("diff: %v", err)
		}
		_ = child
	})
}
