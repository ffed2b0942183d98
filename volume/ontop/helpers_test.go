package ontop

import (
	"log/slog"
	"time"
)

var longAgo = time.Now().Add(-time.Hour)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
