package strata

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

// dataItem is one data item with what the record says about it.
type dataItem struct {
	finding Finding // object and key
	open    func() (*os.File, error)
	// size is the recorded length, -1 if there is none.
	size int64
	// digest is the recorded one, "" if there is none.
	digest digest.Digest
	// quick leaves out reading it.
	quick bool
	// current reports whether the record still says so.
	current func(ctx context.Context) (bool, error)
}

func (v *verifier) layerItem(l layer.Layer, key string) dataItem {
	return dataItem{
		finding: Finding{Kind: KindLayer, ID: string(l.ID), ReadOnly: l.ReadOnly, Item: key, Repair: RepairReload},
		open:    func() (*os.File, error) { return v.store.layers.OpenBigData(l, key) },
		size:    -1,
		current: func(ctx context.Context) (bool, error) { return v.store.stillLayer(ctx, l) },
	}
}

func (v *verifier) imageItem(i image.Image, key string) dataItem {
	it := dataItem{
		finding: Finding{Kind: KindImage, ID: string(i.ID), ReadOnly: i.ReadOnly, Item: key, Repair: RepairReload},
		open:    func() (*os.File, error) { return bigdata.Open(v.store.images.DataDir(i), key) },
		size:    recordedSize(i.BigDataSizes, key),
		digest:  i.BigDataDigests[key],
	}
	it.current = func(ctx context.Context) (bool, error) {
		now, err := v.store.Image(ctx, string(i.ID))
		return now.ID == i.ID && now.BigDataDigests[key] == it.digest, ignoreGone(err)
	}
	return it
}

func (v *verifier) containerItem(c container.Container, key string) dataItem {
	it := dataItem{
		finding: Finding{Kind: KindContainer, ID: string(c.ID), Item: key, Repair: RepairRecord},
		open:    func() (*os.File, error) { return bigdata.Open(v.store.containers.DataDir(c.ID), key) },
		size:    recordedSize(c.BigDataSizes, key),
		digest:  c.BigDataDigests[key],
	}
	it.current = func(ctx context.Context) (bool, error) {
		now, err := v.store.Container(ctx, string(c.ID))
		return now.ID == c.ID && now.BigDataDigests[key] == it.digest, ignoreGone(err)
	}
	return it
}

func recordedSize(sizes map[string]int64, key string) int64 {
	if n, ok := sizes[key]; ok {
		return n
	}
	return -1
}

// ignoreGone: an object that went meanwhile is as well as one that is sound; that it can not
// be looked up for another reason says nothing about it.
func ignoreGone(err error) error {
	if isUnknown(err) || errors.Is(err, layer.ErrUnknown) {
		return nil
	}
	return err
}

// verify reads the item. A replaced item is visible before its record is (on-disk
// format, 9.7), so what differs is looked at a second time.
func (it dataItem) verify(ctx context.Context, read func(int)) ([]Finding, error) {
	for attempt := 0; ; attempt++ {
		found := it.compare(read)
		if found.Problem == 0 {
			return nil, ctx.Err()
		}
		if still, err := it.current(ctx); !still || err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		if attempt > 0 {
			return []Finding{found}, nil
		}
	}
}

// compare returns a finding without a Problem when all is well.
func (it dataItem) compare(read func(int)) Finding {
	f := it.finding
	file, err := it.open()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, layer.ErrDataUnknown) {
		f.Problem, f.Reason, f.Bytes = ProblemDataMissing, fmt.Sprintf("data item %q is missing", it.finding.Item), max(it.size, 0)
		if f.Kind == KindContainer {
			f.Repair = RepairRemoveContainer // there is nothing to record
		}
		return f
	}
	if err != nil {
		f.Problem, f.Reason = ProblemUnreadable, fmt.Sprintf("data item %q: %v", it.finding.Item, err)
		return f
	}
	defer file.Close() // read only: nothing to lose
	got, head, err := it.measure(file, read)
	f.Bytes = got.size
	switch {
	case err != nil:
		f.Problem, f.Reason = ProblemUnreadable, fmt.Sprintf("data item %q: %v", it.finding.Item, err)
	case it.size >= 0 && got.size != it.size:
		f.Problem, f.Want, f.Got = ProblemDataSize, fmt.Sprint(it.size), fmt.Sprint(got.size)
		f.Reason = fmt.Sprintf("data item %q has %s bytes, recorded are %s", it.finding.Item, f.Got, f.Want)
	case it.digest != "" && got.digest != "" && got.digest != it.digest && !signedManifest(it.finding.Item, head):
		f.Problem, f.Want, f.Got = ProblemDataDigest, it.digest.String(), got.digest.String()
		f.Reason = fmt.Sprintf("data item %q has digest %s, recorded is %s", it.finding.Item, f.Got, f.Want)
	}
	if f.Kind == KindImage && f.Problem != 0 && err == nil && got.digest != "" && (got.digest == it.digest || named(it.finding.Item, got.digest)) {
		f.Repair = RepairRecord // the item is right, its record is not
	}
	return f
}

// measured is what reading gave.
type measured struct {
	digest digest.Digest
	size   int64
}

// maxManifest is how much of an item is kept to see whether it is a manifest, in bytes.
const maxManifest = 4 << 20

// measure reads the item, or only asks for its size.
func (it dataItem) measure(file *os.File, read func(int)) (measured, []byte, error) {
	if !it.quick {
		return hashItem(file, it.digest, read)
	}
	info, err := file.Stat()
	if err != nil {
		return measured{}, nil, err
	}
	return measured{size: info.Size()}, nil, nil
}

// hashItem reads r with the algorithm of want and returns its first bytes, too.
func hashItem(r io.Reader, want digest.Digest, read func(int)) (measured, []byte, error) {
	algorithm := digest.Canonical
	if want.Validate() == nil {
		algorithm = want.Algorithm()
	}
	hash := algorithm.Hash()
	head := &headWriter{max: maxManifest}
	n, err := io.Copy(io.MultiWriter(hash, head, countWriter(read)), r)
	return measured{digest.NewDigest(algorithm, hash), n}, head.Bytes(), err
}

// headWriter keeps the first bytes.
type headWriter struct {
	bytes.Buffer
	max int
}

func (h *headWriter) Write(p []byte) (int, error) {
	if room := h.max - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// countWriter tells of what goes through it.
type countWriter func(n int)

func (c countWriter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}

// signedManifest reports whether the recorded digest may be of other bytes than the
// item's: that of a manifest of schema 1 leaves the signatures out (on-disk format, 2.4).
func signedManifest(key string, data []byte) bool {
	if !strings.HasPrefix(key, image.ManifestKey) {
		return false
	}
	var m struct {
		SchemaVersion int               `json:"schemaVersion"`
		Signatures    []json.RawMessage `json:"signatures"`
	}
	return json.Unmarshal(data, &m) == nil && m.SchemaVersion == 1 && len(m.Signatures) > 0
}
