package dockerroot

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stratastore/strata/archive"
)

func TestSumLines(t *testing.T) {
	huge := `{"type":1,"size":9223372036854775807}` + "\n"
	tests := []struct {
		name, lines string
		want        int64
		err         string
	}{
		{"empty", "", 0, ""},
		{"segments and files", `{"type":2,"payload":"AAAA","position":0}` + "\n" + `{"type":1,"name":"x","size":70000,"payload":"AAAAAAAAAAA="}` + "\n\n" + `{"type":1,"name":"d/","payload":null}`, 70003, ""},
		{"the longest", huge, math.MaxInt64, ""},
		{"longer than any", huge + huge, 0, "line 2"},
		{"no JSON", "x", 0, "line 1"},
		{"no base64", `{"type":2,"payload":"?"}`, 0, "line 1"},
		{"unknown type", `{"type":7}`, 0, "type 7"},
		{"negative", `{"type":1,"size":-1}`, 0, "size -1"},
		{"long line", strings.Repeat(" ", 200), 0, "longer than 150 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sumLines(t.Context(), strings.NewReader(tt.lines), 150)
			if got != tt.want || (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("size %d, %v; want %d, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

// zeros gives any file, of zeros.
type zeros struct{ size int64 }

func (z zeros) Get(string) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeroReader{}, z.size)), nil
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// FuzzLineSize: what can be put together has the length that was foretold.
func FuzzLineSize(f *testing.F) {
	f.Add([]byte(`{"type":2,"payload":"AAAA","position":0}`))
	f.Add([]byte(`{"type":1,"name":"x","size":8,"payload":"AAAAAAAAAAA="}`))
	f.Add([]byte(`{"type":1,"name_raw":"gQ==","payload":null,"position":4}`))
	f.Add([]byte("\t"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.ContainsRune(line, '\n') {
			return
		}
		want, err := lineSize(line)
		if want < 0 {
			t.Fatalf("size %d", want)
		}
		if err != nil || want > 1<<16 {
			return
		}
		var out bytes.Buffer
		if archive.Assemble(t.Context(), &out, bytes.NewReader(line), zeros{want}) == nil && int64(out.Len()) != want {
			t.Errorf("%d bytes were foretold, %d came", want, out.Len())
		}
	})
}
