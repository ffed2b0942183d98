package strata

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
)

// maxFileFindings is how many files of one layer are reported one by one.
const maxFileFindings = 100

// diagnose reads a layer that is not what it was once more, to name every file that
// is wrong.
func (v *layerVerifier) diagnose(ctx context.Context) []Finding {
	split, err := v.store.layers.OpenSplit(*v.layer)
	if err != nil {
		return v.splitDamaged(err)
	}
	defer split.Close() // read only: nothing to lose
	algorithm := digest.Digest(v.layer.DiffID).Algorithm()
	hash := algorithm.Hash()
	d := &diagnosis{layerVerifier: v, out: hash, table: crc64.MakeTable(crc64.ISO)}
	if err := d.run(ctx, split); err != nil {
		return append(d.found, v.splitDamaged(err)...)
	}
	return d.conclude(digest.NewDigest(algorithm, hash))
}

// diagnosis is one such reading.
type diagnosis struct {
	*layerVerifier
	out   io.Writer
	table *crc64.Table
	size  int64
	found []Finding
	more  int // findings that were left out
}

// splitLine is one line of a tar-split (on-disk format, 2.10).
type splitLine struct {
	Type    int    `json:"type"`
	Name    string `json:"name"`
	NameRaw []byte `json:"name_raw"`
	Size    int64  `json:"size"`
	Payload []byte `json:"payload"`
}

const (
	splitFileLine = 1
	splitRawLine  = 2
)

// maxSplitLine caps a line of a tar-split in bytes, as putting the tar together does.
const maxSplitLine = 48 << 20

func (d *diagnosis) run(ctx context.Context, split io.Reader) error {
	lines := bufio.NewScanner(split)
	lines.Buffer(nil, maxSplitLine)
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var l splitLine
		err := json.Unmarshal(lines.Bytes(), &l)
		if err != nil {
			return err
		}
		switch l.Type {
		case splitRawLine:
			err = d.write(l.Payload)
		case splitFileLine:
			err = d.file(l)
		default:
			err = fmt.Errorf("line of type %d", l.Type)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

func (d *diagnosis) write(p []byte) error {
	d.size += int64(len(p))
	_, err := d.out.Write(p)
	return err
}

// file compares one file. A line that makes no sense is an error, and a reason not to have read the
// file that says nothing about it.
func (d *diagnosis) file(l splitLine) error {
	if l.Size == 0 {
		return nil
	}
	name := l.Name
	if len(l.NameRaw) > 0 {
		name = string(l.NameRaw)
	}
	if l.Size < 0 || len(l.Payload) != crc64.Size {
		return fmt.Errorf("file %q with size %d and a check value of %d bytes", name, l.Size, len(l.Payload))
	}
	r, err := d.files.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		d.add(name, l.Size, "file %q is missing", name)
		return nil
	}
	if isPassing(err) {
		return err
	}
	if err != nil {
		d.add(name, l.Size, "file %q: %v", name, err)
		return nil
	}
	defer r.Close() // read only: nothing to lose
	sum := crc64.New(d.table)
	n, err := io.Copy(io.MultiWriter(sum, d.out), io.LimitReader(r, l.Size+1)) // a hole of exabytes is not read
	d.size += n
	want := binary.BigEndian.Uint64(l.Payload)
	switch {
	case isPassing(err):
		return err
	case err != nil:
		d.add(name, l.Size, "file %q: %v", name, err)
	case n > l.Size:
		d.add(name, l.Size, "file %q has more than the recorded %d bytes", name, l.Size)
	case n != l.Size:
		d.add(name, l.Size, "file %q has %d bytes, recorded are %d", name, n, l.Size)
	case sum.Sum64() != want:
		d.add(name, l.Size, "file %q has check value %016x, recorded is %016x", name, sum.Sum64(), want)
	}
	return nil
}

func (d *diagnosis) add(name string, bytes int64, format string, args ...any) {
	if len(d.found) == maxFileFindings {
		d.more++
		return
	}
	f := layerFinding(d.layer, ProblemContentDigest, RepairReload, format, args...)
	f.Path, f.Bytes = name, bytes
	d.found = append(d.found, f)
}

// conclude adds the digests of the whole to what is known about the files.
func (d *diagnosis) conclude(got digest.Digest) []Finding {
	want := digest.Digest(d.layer.DiffID)
	if d.more > 0 {
		d.found = append(d.found, layerFinding(d.layer, ProblemContentDigest, RepairReload, "%d more files differ", d.more))
	}
	switch {
	case len(d.found) > 0:
	case got != want:
		d.found = append(d.found, layerFinding(d.layer, ProblemContentDigest, RepairReload, "its tar has digest %s, recorded is %s", got, want))
	case !d.sameSize(d.size):
		f := layerFinding(d.layer, ProblemContentSize, RepairRecord, "its tar has %d bytes, recorded are %d", d.size, d.layer.DiffSize)
		f.Want, f.Got = fmt.Sprint(d.layer.DiffSize), fmt.Sprint(d.size)
		return append(d.found, f)
	}
	for i := range d.found {
		d.found[i].Want, d.found[i].Got = want.String(), got.String()
	}
	return d.found
}
