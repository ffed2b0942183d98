package storetest

import (
	"errors"
	"io"
	"testing"

	"github.com/stratastore/strata"
)

// Tars reads every layer of an image, base first.
func (s *Store) Tars(t testing.TB, image string) [][]byte {
	t.Helper()
	img, err := s.Image(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	for id := img.TopLayer; id != ""; {
		l, err := s.Layer(t.Context(), string(id))
		if err != nil {
			t.Fatal(err)
		}
		rc, err := s.Diff(t.Context(), string(id), "", strata.DiffOptions{Compression: strata.CompressionNone})
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err = errors.Join(err, rc.Close()); err != nil {
			t.Fatal(err)
		}
		list = append([][]byte{data}, list...)
		id = l.Parent
	}
	return list
}
