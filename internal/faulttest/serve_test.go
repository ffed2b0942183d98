//go:build linux && amd64

package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/faulttest"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/plugin"
)

// holder is who mounts through the plugin.
const holder = "engine"

// request is one request to the server of volumes.
type request struct {
	name string
	send func(ctx context.Context, c *plugin.Client) error
	// prepare comes before, undisturbed; undo leads back from what the request leads to.
	prepare, undo func(ctx context.Context, c *plugin.Client) error
	// over is what the request may fail with when it is sent again although it had been done
	// in part.
	over error
}

// requests are those that change something, for each kind of volume that the server has.
func requests() []request {
	type send = func(ctx context.Context, c *plugin.Client) error
	create := func(option, value string) send {
		return func(ctx context.Context, c *plugin.Client) error {
			_, err := c.Create(ctx, "new", map[string]string{option: value})
			return err
		}
	}
	remove := func(name string) send {
		return func(ctx context.Context, c *plugin.Client) error { return c.Remove(ctx, name) }
	}
	mount := func(name, id string) send {
		return func(ctx context.Context, c *plugin.Client) error {
			_, err := c.Mount(ctx, name, id)
			return err
		}
	}
	unmount := func(name, id string) send {
		return func(ctx context.Context, c *plugin.Client) error { return c.Unmount(ctx, name, id) }
	}
	out := []request{
		{name: "create", send: create("base", "/etc"), undo: remove("new")},
		{name: "create-image", send: create("lower", "localhost/app:1"), undo: remove("new")},
		{name: "remove", send: remove("preview"), over: volume.ErrNoSuchVolume},
		{name: "remove-image", send: remove("pic"), over: volume.ErrNoSuchVolume},
		{name: "mount-second", prepare: mount("preview", "first"), send: mount("preview", holder), undo: unmount("preview", holder)},
		{name: "unmount-one-of-two", prepare: func(ctx context.Context, c *plugin.Client) error {
			return errors.Join(mount("preview", "first")(ctx, c), mount("preview", holder)(ctx, c))
		}, send: unmount("preview", holder)},
	}
	for _, name := range []string{"preview", "scratch", "pic", "monday"} {
		out = append(out,
			request{name: "mount-" + name, send: mount(name, holder), undo: unmount(name, holder)},
			request{name: "unmount-" + name, prepare: mount(name, holder), send: unmount(name, holder)})
	}
	return out
}

func (b *volumeBench) socket() string { return filepath.Join(b.dir, "s") }

func (b *volumeBench) serve() []string {
	return b.args("volume", "serve", "--socket", b.socket())
}

// client asks the server once.
func (b *volumeBench) client() *plugin.Client {
	b.t.Helper()
	c, err := plugin.NewClient("strata", plugin.Address{Addr: "unix://" + b.socket()}, plugin.ClientOptions{Handshake: time.Minute, Retry: -1})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// served runs f, if that is not nil, beside a server, which is ended afterwards as systemd does.
func (b *volumeBench) served(f func(ctx context.Context, c *plugin.Client) error) error {
	b.t.Helper()
	args := b.serve()
	var log strings.Builder
	cmd := exec.CommandContext(b.t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Stderr = b.env(), &log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	var endErr error
	go func() {
		endErr = cmd.Wait()
		close(ended)
	}()
	err := errors.New("the server does not start")
	if b.answers(ended) {
		err = nil
		if f != nil {
			err = f(b.t.Context(), b.client())
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, which is told below
	<-ended
	if endErr != nil {
		endErr = fmt.Errorf("the server: %w: %s", endErr, log.String())
	}
	return errors.Join(err, endErr)
}

// answers waits until a server answers; it does not when that has ended.
func (b *volumeBench) answers(ended <-chan struct{}) bool {
	for {
		if conn, err := net.Dial("unix", b.socket()); err == nil {
			return conn.Close() == nil
		}
		select {
		case <-ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// tracedServer runs a server under the plan, sends it the request, and kills it when that has
// been answered. answered is set when that was with success.
func (b *volumeBench) tracedServer(plan faulttest.Plan, q request) (report *faulttest.Report, answered bool) {
	b.t.Helper()
	ctx, kill := context.WithCancel(b.t.Context())
	defer kill()
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		report, err = faulttest.Run(ctx, faulttest.Command{Args: b.serve(), Env: b.env(), Watch: b.common.dir}, plan)
	}()
	if b.answers(ended) {
		answered = q.send(ctx, b.client()) == nil
	}
	kill()
	<-ended
	if err != nil && !errors.Is(err, context.Canceled) {
		b.t.Fatalf("trace the server: %v", err)
	}
	return report, answered
}

// serverTrial is one request on one bench.
type serverTrial struct {
	*volumeTrial
	request request
}

func newServerTrial(f *volumeFixture, t *testing.T, q request) *serverTrial {
	t.Helper()
	x := &serverTrial{&volumeTrial{volumeBench: f.bench(t, "serve-"+q.name), fixture: f}, q}
	x.verb.name = "serve-" + q.name
	if strings.Contains(q.name, "pic") {
		x.verb.name += "-image"
	}
	x.begin()
	x.before, x.old = x.rest()
	x.begin()
	report, answered := x.tracedServer(faulttest.Plan{}, q)
	if !answered {
		t.Fatalf("undisturbed: %s", report.Stderr)
	}
	x.calls = report.Calls
	x.after, x.new = x.rest()
	return x
}

// begin makes the store that the request begins with.
func (x *serverTrial) begin() {
	x.t.Helper()
	x.restore(x.fixture)
	if err := x.served(x.request.prepare); err != nil {
		x.t.Fatal(err)
	}
}

// kill kills the server at a call, and looks what the next one makes of that.
func (x *serverTrial) kill(n int) {
	x.t.Helper()
	x.begin()
	report, answered := x.tracedServer(faulttest.Plan{Action: faulttest.Kill, Call: n}, x.request)
	if report.Hit == "" {
		return // this run had fewer calls
	}
	p := x.at(fmt.Sprintf("killed before call %d, %s", n, report.Hit))
	defer p.done()
	if err := x.served(func(ctx context.Context, c *plugin.Client) error {
		found, ok := p.see(whenFound)
		if !ok {
			return nil
		}
		if answered && !maps.Equal(found, x.after) {
			p.breaks("answered, and not done")
		}
		return x.settle(ctx, c, found)
	}); err != nil {
		p.breaks("with a new server: %v", err)
	}
	if _, ok := p.swept(whenCollected, p.old, p.new); !ok {
		return
	}
	p.equals(whenDone, p.after, p.new)
	if x.request.undo == nil {
		return
	}
	if err := x.served(x.request.undo); err != nil {
		p.breaks("undoing: %v", err)
	}
	p.equals("undone", p.before, p.old)
}

// settle sends the request again where it was not done, as an engine does. An overlay that a
// killed unmounting left is there for the next user, and goes with that.
func (x *serverTrial) settle(ctx context.Context, c *plugin.Client, found state) error {
	if maps.Equal(found, x.after) {
		return nil
	}
	if err := x.request.send(ctx, c); err != nil && (x.request.over == nil || !errors.Is(err, x.request.over)) {
		var remote *plugin.RemoteError
		if x.request.over == nil || !errors.As(err, &remote) || !strings.Contains(err.Error(), x.request.over.Error()) {
			return fmt.Errorf("again: %w", err)
		}
	}
	name, of := strings.CutPrefix(x.request.name, "unmount-")
	if !of || x.before["volume "+name] == "" {
		return nil
	}
	if _, err := c.Mount(ctx, name, "next"); err != nil {
		return fmt.Errorf("the next user: %w", err)
	}
	return c.Unmount(ctx, name, "next")
}

// tryRequests kills the server of volumes at some, or all, of the calls of each request.
func tryRequests(t *testing.T, f *volumeFixture) {
	t.Helper()
	for i, q := range requests() {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			x := newServerTrial(f, t, q)
			for _, n := range sample(len(x.calls), most(t, 2), i) {
				x.kill(n)
			}
			x.report("kill", x.calls)
			_ = os.Remove(x.socket()) // if it is left
			x.clear()
		})
	}
}
