package strata_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// TestCheckOddTars: what a tar may bring, and what is made of it on purpose, is no damage.
func TestCheckOddTars(t *testing.T) {
	tests := []struct {
		name    string
		entries []testutil.Entry
	}{
		{"files of AUFS's own", []testutil.Entry{
			{Name: ".wh..wh.aufs"}, {Name: ".wh..wh.orph/", Mode: 0o700}, {Name: ".wh..wh.plnk/", Mode: 0o700}, {Name: ".wh..wh.plnk/12.34", Body: "shared"},
			{Name: "one", Type: '1', Link: ".wh..wh.plnk/12.34"}, {Name: "two", Type: '1', Link: ".wh..wh.plnk/12.34"},
		}},
		{"overlayfs's own form of a whiteout", []testutil.Entry{{Name: "dir/", Mode: 0o755}, {Name: "dir/gone", Type: '3', Mode: 0o644}}},
		{"path longer than a call may have", []testutil.Entry{{Name: strings.Repeat(strings.Repeat("d", 200)+"/", 22) + "file", Body: "deep"}}},
	}
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		importLayer(t, s, "base", "", testutil.Entry{Name: "dir/gone", Body: "x"})
		for i, tt := range tests {
			importLayer(t, s, fmt.Sprintf("lay%d", i), "base", tt.entries...)
		}
		report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
		must(t, err)
		for _, f := range report.Findings {
			t.Errorf("%+v", f)
		}
	})
}
