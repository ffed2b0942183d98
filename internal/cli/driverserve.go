package cli

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/graphdriver/plugin"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/pluginsock"
)

type driverServeOptions struct {
	driver, socket, home string
	opts                 []string
}

func driverServeVerb() *Verb {
	o := &driverServeOptions{}
	return &Verb{
		Name: "driver serve", Group: groupStore, Summary: "Offer a storage driver to other programs", ModernOnly: true, NoStore: true, NoJSON: true,
		Detail: "Speaks Docker's graph driver plugin protocol on a Unix socket until it is interrupted. A program that looks\n" +
			"for plugins where Docker does finds it by the name of the socket: for strata that is the driver in storage.conf\n" +
			"or --storage-driver. The program says where its layers are to be, and may be another one each time, unless --home\n" +
			"does. Who can write to the socket can make files as this process: it belongs to root, with mode 0660. systemd\n" +
			"can pass the socket. What is mounted stays mounted when the server ends.",
		Examples: []Example{
			{"Offer vfs to strata and Docker as the driver \"plain\"", "strata driver serve --driver vfs --socket /run/docker/plugins/plain.sock"},
			{"Keep the layers in one folder, whatever clients ask for", "strata driver serve --driver overlay --socket /run/docker/plugins/o.sock --home /srv/layers/o"},
		},
		Options: []option.Option{
			option.OneOf(option.As("DRIVER", option.String(&o.driver, "driver", "The driver that is offered")), strata.DefaultRegistry().Names()...),
			option.Files(option.String(&o.socket, "socket", "Socket to listen on, unless systemd passes one")),
			option.Dirs(option.String(&o.home, "home", "The one folder for layers; without it, the client's")),
			option.As("KEY=VALUE", option.List(&o.opts, "opt", "Option of the driver, may be repeated")),
		},
		Run: func(ctx context.Context, c *Call) error { return driverServe(ctx, c, o) },
	}
}

func driverServe(ctx context.Context, c *Call, o *driverServeOptions) error {
	if o.driver == "" {
		return usagef("", "say with --driver which storage driver is offered")
	}
	init, err := strata.DefaultRegistry().Lookup(o.driver)
	if err != nil {
		return err
	}
	if o.home != "" {
		if o.home, err = filepath.Abs(o.home); err != nil {
			return err
		}
	}
	server, err := plugin.NewServer(init, plugin.ServerOptions{Driver: driverName(o.driver), Home: o.home, Options: o.opts, Logger: c.Log})
	if err != nil {
		return err
	}
	if o.home != "" { // what does not work is told now
		if err := server.Init(ctx); err != nil {
			return fmt.Errorf("storage driver %s in %s: %w", o.driver, o.home, err)
		}
	}
	l, err := c.driverListener(ctx, o.socket)
	if err != nil {
		return err
	}
	notify := c.env.variable("NOTIFY_SOCKET")
	if err := pluginsock.Notify(notify, "READY=1"); err != nil {
		return errorsJoin(err, l.Close())
	}
	c.Log.Info("serving storage driver", "driver", o.driver, "socket", l.Addr().String())
	err = server.Serve(ctx, l)
	return errorsJoin(err, pluginsock.Notify(notify, "STOPPING=1"))
}

// driverListener takes the socket that systemd passed, or makes the one that was named.
func (c *Call) driverListener(ctx context.Context, socket string) (net.Listener, error) {
	if socket == "" && c.env.variable("LISTEN_PID") == "" {
		return nil, usagef("Docker looks for plugins in /run/docker/plugins/NAME.sock", "say with --socket where to listen")
	}
	socket, err := filepath.Abs(socket)
	if err != nil {
		return nil, err
	}
	return c.pluginListener(ctx, socket)
}
