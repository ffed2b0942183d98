package strata_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
)

// TestModes: folders and record files that others may write, or that their owner may not use, are
// found, and get a mode that fits; what engines and people who share a store give them is right.
func TestModes(t *testing.T) {
	tests := []struct {
		path string
		mode os.FileMode
		want os.FileMode // 0: no finding
	}{
		{"overlay", 0o777, 0o755}, {"overlay", 0o755, 0}, {"overlay", 0o711, 0}, {"overlay/l", 0o775, 0o755}, {"overlay/l", 0o700, 0},
		{"overlay-layers", 0o770, 0o750}, {"overlay-layers", 0o755, 0}, {"overlay-images", 0o702, 0o700}, {"overlay-images", os.ModeSticky | 0o777, os.ModeSticky | 0o755},
		{"overlay-containers", 0o000, 0o700}, {"overlay-containers", 0o500, 0o700}, {"strata", 0o777, 0o755},
		{"overlay-layers/layers.json", 0o666, 0o644}, {"overlay-layers/layers.json", 0o644, 0}, {"overlay-images/images.json", 0o000, 0o600},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %04o", tt.path, tt.mode), func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			path := filepath.Join(b.GraphRoot(), tt.path)
			must(t, os.Chmod(path, tt.mode))
			findings := cured(t, b.Store)
			if tt.want == 0 {
				wantEqual(t, "findings", 0, len(findings))
				tt.want = tt.mode
			} else if len(findings) != 1 || findings[0].Problem != strata.ProblemMode || findings[0].Path != path || findings[0].Repair != strata.RepairMode ||
				findings[0].Reason == "" || findings[0].Got != fmt.Sprintf("%04o", tt.mode.Perm()) {
				t.Errorf("%+v", findings)
			}
			info, err := os.Lstat(path)
			must(t, err)
			wantEqual(t, "mode", tt.want, info.Mode()&(os.ModePerm|os.ModeSticky))
		})
	}
}
