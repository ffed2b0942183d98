// Command strata looks after container images, layers and containers. Called
// through a link named containers-storage it answers as that command does.
package main

import (
	"context"
	"os"

	"github.com/stratastore/strata/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), cli.System()))
}
