package table

import (
	"fmt"
	"time"
)

// Size writes a number of bytes with a decimal unit and at most four characters
// of digits: "0 B", "999 B", "1.2 kB", "34.5 MB".
func Size(bytes int64) string {
	if bytes < 0 {
		return "-"
	}
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes), 0
	// 999.95 and up would print as "1000.0".
	for value >= 999.95 && unit < len("kMGTPE") {
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[unit-1])
}

// Age writes how long before now something happened: "3 hours ago". A time that
// is not set is "-", one in the future "now" (clocks differ).
func Age(at, now time.Time) string {
	if at.IsZero() || at.Unix() == 0 {
		return "-"
	}
	d := now.Sub(at)
	if d < 2*time.Second {
		return "now"
	}
	const day = 24 * time.Hour
	steps := []struct {
		unit  time.Duration
		limit time.Duration
		name  string
	}{
		{time.Second, 2 * time.Minute, "seconds"},
		{time.Minute, 2 * time.Hour, "minutes"},
		{time.Hour, 2 * day, "hours"},
		{day, 14 * day, "days"},
		{7 * day, 60 * day, "weeks"},
		{30 * day, 730 * day, "months"},
	}
	for _, s := range steps {
		if d < s.limit {
			return fmt.Sprintf("%d %s ago", d/s.unit, s.name)
		}
	}
	return fmt.Sprintf("%d years ago", d/(365*day))
}

// ShortID cuts a long ID to the twelve characters that tell it from others in
// practice; the store accepts them as a prefix.
func ShortID(id string) string {
	const short, long = 12, 64
	if len(id) == long {
		return id[:short]
	}
	return id
}
