package pluginsock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/stratastore/strata/errdefs"
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

// Transport returns how to speak HTTP with the plugin, and the scheme of requests. No
// connection is kept: after a restart of the plugin it would be a dead one.
func (a Address) Transport() (t *http.Transport, scheme string, err error) {
	dial, scheme, err := a.dialer()
	if err != nil {
		return nil, "", err
	}
	config, err := a.tlsConfig()
	if err != nil {
		return nil, "", err
	}
	return &http.Transport{DialContext: dial, TLSClientConfig: config, DisableKeepAlives: true}, scheme, nil
}

// String is the address for messages: of a Unix socket its path.
func (a Address) String() string { return strings.TrimPrefix(a.Addr, "unix://") }

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
