package dockerroot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/stratastore/strata/errdefs"
)

// The kinds of tar-split line (docker-layers-and-volumes, A.5).
const (
	splitFile    = 1
	splitSegment = 2
)

// maxLine caps a line of a tar-split, as putting it together does.
const maxLine = 48 << 20

// splitSize is the length of the tar that a tar-split file describes: of its
// segments and of the files between them. The database's own "size" is no such thing.
func (r *Root) splitSize(ctx context.Context, name string) (int64, error) {
	in, err := r.openSplit(name)
	if err != nil {
		return 0, err
	}
	defer in.Close() // read to its end or given up: nothing to lose
	return sumLines(ctx, in, maxLine)
}

// sumLines adds up the sizes of lines, each of at most longest bytes.
func sumLines(ctx context.Context, in io.Reader, longest int) (total int64, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, min(longest, bufio.MaxScanTokenSize)), longest)
	for n := 1; lines.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		size, err := lineSize(lines.Bytes())
		if err == nil && size > math.MaxInt64-total {
			err = errors.New("the tar would be longer than any")
		}
		if err != nil {
			return 0, fmt.Errorf("tar-split line %d: %w: %w", n, err, errdefs.ErrCorrupt)
		}
		total += size
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return 0, fmt.Errorf("tar-split: a line is longer than %d bytes: %w", longest, errdefs.ErrLimit)
	} else if err != nil {
		return 0, err
	}
	return total, nil
}

// lineSize is how many bytes of the tar one line stands for.
func lineSize(text []byte) (int64, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return 0, nil
	}
	var line struct {
		Type    int    `json:"type"`
		Size    int64  `json:"size"`
		Payload []byte `json:"payload"`
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return 0, err
	}
	switch {
	case line.Type == splitSegment:
		return int64(len(line.Payload)), nil
	case line.Type == splitFile && line.Size >= 0:
		return line.Size, nil
	}
	return 0, fmt.Errorf("entry of type %d with size %d", line.Type, line.Size)
}
