package pluginsock

import (
	"log/slog"
	"sync"
	"time"
)

// Waiting logs "waiting for WHOM" after a pause and then at doubling intervals, until stop is
// called, after which nothing is logged.
func Waiting(log *slog.Logger, whom string, pause time.Duration) (stop func()) {
	w := &waiting{log: log, text: "waiting for " + whom, pause: pause}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(pause, w.fire)
	return w.stop
}

type waiting struct {
	log   *slog.Logger
	text  string
	mu    sync.Mutex
	timer *time.Timer
	pause time.Duration
	done  bool
}

func (w *waiting) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	w.log.Warn(w.text)
	w.pause *= 2
	w.timer.Reset(w.pause)
}

func (w *waiting) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.timer.Stop()
}
