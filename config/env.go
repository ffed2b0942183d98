package config

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// Env is everything from outside that decides which files are read and what the
// defaults are. Tests fill it by hand; programs use SystemEnv.
type Env struct {
	// Getenv looks an environment variable up.
	Getenv func(name string) (value string, set bool)
	// UID is the effective user.
	UID int
	// Home is the user's home directory; it may be empty for root.
	Home string
	// Rootless: the process lacks what mounting needs, whatever its UID.
	Rootless bool
	// Root is put in front of the system's directories ("/etc", "/usr", "/var", "/run"); "" in programs.
	Root string
}

// SystemEnv describes the running process.
func SystemEnv() Env {
	env := Env{Getenv: os.LookupEnv, Rootless: rootless(os.LookupEnv)}
	return env.ForUser(os.Geteuid())
}

// ForUser returns e with another user. The home is $HOME; without it, the one that the
// system has for the user. A process that is root of a user namespace asks for the user
// outside.
func (e Env) ForUser(uid int) Env {
	e.UID, e.Home = uid, e.get("HOME")
	if e.Home == "" {
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			e.Home = u.HomeDir
		}
	}
	return e
}

func (e Env) get(name string) string {
	v, _ := e.Getenv(name)
	return v
}

func (e Env) system(path string) string {
	if e.Root == "" {
		return path
	}
	return filepath.Join(e.Root, path)
}

// configHome is the directory for the user's own files; "" when there is none.
func (e Env) configHome() string {
	if dir := e.get("XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	if e.Home != "" {
		return filepath.Join(e.Home, ".config")
	}
	return ""
}
