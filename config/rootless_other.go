//go:build !linux

package config

import "os"

func rootless(func(string) (string, bool)) bool { return os.Geteuid() != 0 }
