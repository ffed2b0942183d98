package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/cli/table"
)

func TestWrite(t *testing.T) {
	tb := table.New("NAME", "ID", "SIZE")
	tb.Row("debian", "0123456789ab", "120.1 MB")
	tb.Row("größe", "x")
	tb.Row("bad\x1b[2Jname", "y", "1 B")
	tests := []struct {
		name  string
		width int
		want  []string
	}{
		{"no width", 0, []string{
			"NAME         ID            SIZE",
			"debian       0123456789ab  120.1 MB",
			"größe        x",
			"bad?[2Jname  y             1 B",
		}},
		{"cut", 16, []string{
			"NAME         ID…",
			"debian       01…",
			"größe        x",
			"bad?[2Jname  y …",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := tb.Write(&b, tt.width); err != nil {
				t.Fatal(err)
			}
			want := strings.Join(tt.want, "\n") + "\n"
			if diff := cmp.Diff(want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if tb.Len() != 3 {
		t.Errorf("Len = %d, want 3", tb.Len())
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		bytes int64
		want  string
	}{
		{-1, "-"}, {0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {1234, "1.2 kB"}, {999_949, "999.9 kB"}, {999_950, "1.0 MB"},
		{120_100_000, "120.1 MB"}, {3_000_000_000, "3.0 GB"}, {9_223_372_036_854_775_807, "9.2 EB"},
	}
	for _, tt := range tests {
		if got := table.Size(tt.bytes); got != tt.want {
			t.Errorf("Size(%d) = %q, want %q", tt.bytes, got, tt.want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	tests := []struct {
		name string
		at   time.Time
		want string
	}{
		{"not set", time.Time{}, "-"},
		{"epoch, of reproducible images", time.Unix(0, 0), "-"},
		{"future", now.Add(time.Hour), "now"},
		{"just now", now.Add(-time.Second), "now"},
		{"seconds", now.Add(-90 * time.Second), "90 seconds ago"},
		{"minutes", now.Add(-3 * time.Minute), "3 minutes ago"},
		{"hours", now.Add(-47 * time.Hour), "47 hours ago"},
		{"days", now.Add(-13 * day), "13 days ago"},
		{"weeks", now.Add(-20 * day), "2 weeks ago"},
		{"months", now.Add(-400 * day), "13 months ago"},
		{"years", now.Add(-1000 * day), "2 years ago"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := table.Age(tt.at, now); got != tt.want {
				t.Errorf("Age = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestShortID(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4)
	if got := table.ShortID(long); got != "0123456789ab" {
		t.Errorf("ShortID of a long ID = %q", got)
	}
	if got := table.ShortID("lay1"); got != "lay1" {
		t.Errorf("ShortID of a short ID = %q", got)
	}
}
