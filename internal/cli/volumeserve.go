package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/volume/ontop"
	"github.com/stratastore/strata/volume/plugin"
)

// pluginSocket is where Docker finds the plugin "strata".
const pluginSocket = "/run/docker/plugins/strata.sock"

type volumeServeOptions struct{ socket, root, name string }

func volumeServeVerb() *Verb {
	o := &volumeServeOptions{socket: pluginSocket, name: ontop.DefaultName}
	return volumeVerb(&Verb{
		Name: "volume serve", Summary: "Serve volumes on top of directories and images to Docker and Podman", NoJSON: true,
		Detail: "Speaks Docker's volume plugin protocol on a Unix socket until it is interrupted. Docker finds it by the name\n" +
			"of the socket, Podman by a line in containers.conf. The volumes are those of the driver ontop of this command.\n" +
			"It may be killed and started again while containers run. systemd can pass the socket. One process serves a\n" +
			"state folder; each request is logged with --log-level info. With the state folder of docker-on-top as --root\n" +
			"it takes that program's place.\n\nFor Docker and Podman the driver is then called as the socket is:\n" +
			"  docker volume create --driver strata --opt base=/srv/site preview",
		Examples: []Example{
			{"Serve Docker", "strata volume serve --log-level info"},
			{"Take the place of docker-on-top", "strata volume serve --socket /run/docker/plugins/docker-on-top.sock --root /var/lib/docker-on-top --name docker-on-top"},
		},
		Options: []option.Option{
			option.Files(option.String(&o.socket, "socket", "Socket to listen on, unless systemd passes one")),
			option.Dirs(option.String(&o.root, "root", "State folder instead of the store's own")),
			option.As("NAME", option.String(&o.name, "name", "Name that internal errors begin with")),
		},
		Run: func(ctx context.Context, c *Call) error { return volumeServe(ctx, c, o) },
	})
}

func volumeServe(ctx context.Context, c *Call, o *volumeServeOptions) (err error) {
	if o.root == "" {
		places, err := c.volumePlaces()
		if err != nil {
			return err
		}
		o.root = places.ontop
	}
	socket, err := filepath.Abs(o.socket)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.root, 0o700); err != nil {
		return fmt.Errorf("serve volumes: %w", err)
	}
	claim, err := plugin.TakeClaim(o.root, socket)
	if err != nil {
		return err
	}
	defer func() { err = errorsJoin(err, claim.Close()) }()
	// The socket comes last: who can connect is answered.
	d, err := ontop.New(ctx, ontop.Options{Root: o.root, Name: o.name, Images: &imageMounts{session: c.session}, Logger: c.Log})
	if err != nil {
		return err
	}
	defer func() { err = errorsJoin(err, d.Close()) }()
	l, err := c.pluginListener(ctx, socket)
	if err != nil {
		return err
	}
	c.Log.Info("serving volumes", "socket", socket, "state", o.root)
	return c.servePlugin(ctx, l, d)
}

// pluginListener takes the socket that systemd passed (sd_listen_fds(3)), or makes one.
func (c *Call) pluginListener(ctx context.Context, socket string) (net.Listener, error) {
	const first = 3
	if c.env.variable("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return plugin.Listen(ctx, socket)
	}
	if n := c.env.variable("LISTEN_FDS"); n != "1" {
		return nil, usagef("the socket unit must have one ListenStream=", "systemd passed %s sockets", quoteWord(n))
	}
	return plugin.Inherited(first)
}

func (c *Call) servePlugin(ctx context.Context, l net.Listener, d *ontop.Driver) error {
	notify := c.env.variable("NOTIFY_SOCKET")
	if err := plugin.Notify(notify, "READY=1"); err != nil {
		return errorsJoin(err, l.Close())
	}
	err := plugin.Serve(ctx, l, d, plugin.ServerOptions{Logger: c.Log})
	return errorsJoin(err, plugin.Notify(notify, "STOPPING=1"))
}
