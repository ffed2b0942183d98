//go:build !unix

package config

import "os"

func privateDir(dir string, _ int) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}
