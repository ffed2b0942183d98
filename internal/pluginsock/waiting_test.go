package pluginsock

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		Waiting(log, "nobody", time.Second)()
		stop := Waiting(log, "plugin p", 2*time.Second)
		for _, tt := range []struct {
			pass  time.Duration
			lines int
		}{{time.Second, 0}, {1100 * time.Millisecond, 1}, {3 * time.Second, 1}, {2 * time.Second, 2}} {
			time.Sleep(tt.pass)
			synctest.Wait()
			if got := strings.Count(out.String(), `msg="waiting for plugin p"`); got != tt.lines {
				t.Errorf("%d notices, want %d:\n%s", got, tt.lines, out.String())
			}
		}
		stop()
		time.Sleep(time.Hour)
		if strings.Count(out.String(), "\n") != 2 {
			t.Errorf("notices after the end:\n%s", out.String())
		}
	})
}

// lockedBuffer is a log that a timer writes while the test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
