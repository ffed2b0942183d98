package volume

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
)

// fake is a driver in memory whose answers can be made to fail.
type fake struct {
	name string

	mu      sync.Mutex
	volumes map[string]map[string]string // name to options
	mounts  map[string]int               // "name/id"
	fail    func(op, name string) error
	calls   []string
	scope   Scope
}

var _ Driver = (*fake)(nil)

func newFake(name string, volumes ...string) *fake {
	f := &fake{name: name, volumes: map[string]map[string]string{}, mounts: map[string]int{}, scope: ScopeLocal}
	for _, v := range volumes {
		f.volumes[v] = nil
	}
	return f
}

func (f *fake) call(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, op+" "+name)
	if f.fail != nil {
		return f.fail(op, name)
	}
	return nil
}

// failing makes every call of the ops fail; none: no call fails.
func (f *fake) failing(err error, ops ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = func(op, _ string) error {
		for _, o := range ops {
			if o == op || o == "all" {
				return err
			}
		}
		return nil
	}
}

func (f *fake) called(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if len(c) >= len(op) && c[:len(op)] == op {
			n++
		}
	}
	return n
}

func (f *fake) Name() string { return f.name }

func (f *fake) Create(_ context.Context, name string, options map[string]string) (Info, error) {
	if err := f.call("create", name); err != nil {
		return Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.volumes[name] = maps.Clone(options)
	return Info{Name: name, Mountpoint: "/fake/" + name}, nil
}

func (f *fake) Remove(_ context.Context, name string) error {
	if err := f.call("remove", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.volumes[name]; !ok {
		return ErrNoSuchVolume
	}
	delete(f.volumes, name)
	return nil
}

func (f *fake) Get(_ context.Context, name string) (Info, error) {
	if err := f.call("get", name); err != nil {
		return Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.volumes[name]; !ok {
		return Info{}, ErrNoSuchVolume
	}
	return Info{Name: name, Mountpoint: "/fake/" + name}, nil
}

func (f *fake) List(context.Context) ([]Info, error) {
	if err := f.call("list", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var infos []Info
	for name := range f.volumes {
		infos = append(infos, Info{Name: name, Mountpoint: "/fake/" + name})
	}
	return infos, nil
}

func (f *fake) Path(_ context.Context, name string) (string, error) {
	return "/fake/" + name, f.call("path", name)
}

func (f *fake) Mount(_ context.Context, name, id string) (string, error) {
	if err := f.call("mount", name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts[name+"/"+id]++
	return "/fake/" + name, nil
}

func (f *fake) Unmount(_ context.Context, name, id string) error {
	if err := f.call("unmount", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts[name+"/"+id]--
	return nil
}

func (f *fake) Scope(context.Context) Scope {
	_ = f.call("scope", "")
	return f.scope
}

// open opens a store at path ("" in memory) over the drivers and closes it with the test.
func open(t *testing.T, path string, drivers ...Driver) *Store {
	t.Helper()
	return openWith(t, Options{Path: path}, drivers...)
}

func openWith(t *testing.T, opts Options, drivers ...Driver) *Store {
	t.Helper()
	opts.Drivers = NewRegistry(RegistryOptions{})
	for _, d := range drivers {
		if err := opts.Drivers.Register(d); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, d := range drivers {
			if n := opts.Drivers.Uses(d.Name()); n != 0 {
				t.Errorf("driver %s is still acquired %d times after Close", d.Name(), n)
			}
		}
	})
	return s
}

func create(t *testing.T, s *Store, name string, opts CreateOptions) Created {
	t.Helper()
	made, err := s.Create(t.Context(), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func names(volumes []Volume) []string {
	list := []string{}
	for _, v := range volumes {
		list = append(list, v.Name)
	}
	return list
}

func find(t *testing.T, s *Store, f Filter) []string {
	t.Helper()
	found, err := s.Find(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return names(found.Volumes)
}

// want fails unless err is an *Error of the operation that is also each of kinds.
func want(t *testing.T, err error, op Op, kinds ...error) *Error {
	t.Helper()
	var own *Error
	if !errors.As(err, &own) {
		t.Fatalf("error is %T %v, want *Error", err, err)
	}
	if own.Op != op {
		t.Errorf("operation of %v is %q, want %q", err, own.Op, op)
	}
	for _, kind := range kinds {
		if !errors.Is(err, kind) {
			t.Errorf("%v is not %v", err, kind)
		}
	}
	return own
}
