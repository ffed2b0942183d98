package archive_test

import (
	"testing"

	"github.com/stratastore/strata/archive"
)

func TestChangeString(t *testing.T) {
	tests := []struct {
		change archive.Change
		want   string
	}{
		{archive.Change{Path: "/f1", Kind: archive.Added}, `Add "/f1"`},
		{archive.Change{Path: "/a b\n", Kind: archive.Modified}, `Modify "/a b\n"`},
		{archive.Change{Path: "/\xff", Kind: archive.Deleted}, `Delete "/\xff"`},
		{archive.Change{Path: "/", Kind: 7}, `ChangeKind(7) "/"`},
	}
	for _, tt := range tests {
		if got := tt.change.String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
