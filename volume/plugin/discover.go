package plugin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/volume"
)

// Address is where a plugin listens.
type Address struct {
	// Addr is "unix:///path", "tcp://host:port", "http://host:port" or "https://host:port".
	Addr string
	// TLS is for tcp and https; nil is none, or the defaults for https.
	TLS *TLS
}

// TLS is the member TLSConfig of a plugin's JSON file. The files are PEM.
type TLS struct {
	InsecureSkipVerify        bool
	CAFile, CertFile, KeyFile string
}

// dialer returns how to connect, and the scheme of requests.
func (a Address) dialer() (dial func(ctx context.Context, network, addr string) (net.Conn, error), scheme string, err error) {
	kind, rest, _ := strings.Cut(a.Addr, "://")
	network, scheme := "tcp", "http"
	switch {
	case rest == "":
		return nil, "", fmt.Errorf("address %q: %w", a.Addr, errdefs.ErrInvalid)
	case kind == "unix":
		network = "unix"
	case kind == "https" || kind == "tcp" && a.TLS != nil:
		scheme = "https"
	case kind != "tcp" && kind != "http":
		return nil, "", fmt.Errorf("address %q: scheme %q: %w", a.Addr, kind, errdefs.ErrUnsupported)
	}
	if network == "tcp" {
		rest = strings.TrimSuffix(rest, "/")
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, rest)
	}, scheme, nil
}

func (a Address) tlsConfig() (*tls.Config, error) {
	if a.TLS == nil {
		return nil, nil
	}
	_, rest, _ := strings.Cut(a.Addr, "://")
	name, _, err := net.SplitHostPort(strings.TrimSuffix(rest, "/"))
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", a.Addr, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, InsecureSkipVerify: a.TLS.InsecureSkipVerify}
	if a.TLS.CAFile != "" {
		pem, err := os.ReadFile(a.TLS.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate: %w", a.TLS.CAFile, errdefs.ErrInvalid)
		}
	}
	if a.TLS.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(a.TLS.CertFile, a.TLS.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

// Path is where plugins are looked for by name.
type Path struct {
	// Sockets are folders with NAME.sock or NAME/NAME.sock, Specs folders with NAME.spec and
	// NAME.json, or these in a folder NAME. Sockets come first, and folders in order.
	Sockets, Specs []string
}

// DefaultPath is where Docker looks.
func DefaultPath() Path {
	return Path{Sockets: []string{"/run/docker/plugins"}, Specs: []string{"/etc/docker/plugins", "/usr/lib/docker/plugins"}}
}

// Find returns the address of the plugin called name; volume.ErrNoSuchDriver if there is
// none.
func (p Path) Find(name string) (Address, error) {
	if err := volume.CheckName(name); err != nil {
		return Address{}, fmt.Errorf("name of a plugin: %w: %w", volume.ErrNoSuchDriver, err)
	}
	for _, dir := range p.Sockets {
		for _, file := range candidates(dir, name, ".sock") {
			if info, err := os.Stat(file); err == nil && info.Mode().Type() == fs.ModeSocket {
				return Address{Addr: "unix://" + file}, nil
			}
		}
	}
	for _, dir := range p.Specs {
		for _, ext := range []string{".spec", ".json"} {
			for _, file := range candidates(dir, name, ext) {
				a, err := readSpec(file)
				if !errors.Is(err, fs.ErrNotExist) {
					return a, err
				}
			}
		}
	}
	return Address{}, volume.ErrNoSuchDriver
}

func candidates(dir, name, ext string) []string {
	return []string{filepath.Join(dir, name+ext), filepath.Join(dir, name, name+ext)}
}

// readSpec reads a file that says where a plugin listens.
func readSpec(file string) (Address, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Address{}, err
	}
	if filepath.Ext(file) == ".spec" {
		return Address{Addr: strings.TrimSpace(string(data))}, nil
	}
	var spec struct {
		Addr      string
		TLSConfig *TLS
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return Address{}, fmt.Errorf("plugin file %s: %w: %w", file, errdefs.ErrInvalid, err)
	}
	return Address{Addr: spec.Addr, TLS: spec.TLSConfig}, nil
}

// Names lists the plugins that Find would find, sorted. Folders that are missing are empty.
func (p Path) Names() ([]string, error) {
	var names []string
	var problems []error
	for _, dir := range slices.Concat(p.Sockets, p.Specs) {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("list plugins: %w", err))
		}
		for _, e := range entries {
			name := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
			if e.IsDir() {
				name = e.Name()
			}
			if _, err := p.Find(name); err == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(problems...)
}

// Registry makes the plugins on a path the drivers that a registry loads by name.
func (p Path) Registry(opts ClientOptions) volume.RegistryOptions {
	return volume.RegistryOptions{
		Find: func(_ context.Context, name string) (volume.Driver, error) {
			addr, err := p.Find(name)
			if err != nil {
				return nil, err
			}
			return NewClient(name, addr, opts)
		},
		Names: func(context.Context) ([]string, error) { return p.Names() },
	}
}
