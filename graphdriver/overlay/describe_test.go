package overlay

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/mountapi"
)

func TestDescribe(t *testing.T) {
	const h = "/g/overlay/"
	child := stack{diff: h + "c/diff", work: h + "c/work", lowers: []string{h + "l/B", h + "l/A"}}
	base := stack{diff: h + "b/diff", work: h + "b/work", empty: h + "b/empty"}
	options := func(words ...string) mountapi.Options {
		o, err := mountapi.ParseOptions(words)
		must(t, err)
		return o
	}
	asked := func(words ...string) *mountapi.Options { o := options(words...); return &o }
	tests := []struct {
		name  string
		stack stack
		how   manner
		data  string
		flags mountapi.Flags
	}{
		{
			name: "container", stack: child,
			data: "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work",
		},
		{
			name: "base layer", stack: base,
			data: "lowerdir=" + h + "b/empty,upperdir=" + h + "b/diff,workdir=" + h + "b/work",
		},
		{
			name: "image", stack: child, how: manner{readOnly: true},
			data: "lowerdir=" + h + "c/diff:" + h + "l/B:" + h + "l/A", flags: unix.MS_RDONLY,
		},
		{
			name: "image with one layer", stack: base, how: manner{readOnly: true},
			data: "lowerdir=" + h + "b/diff:" + h + "b/empty", flags: unix.MS_RDONLY,
		},
		{
			name: "option ro", stack: child, how: manner{asked: asked("ro")},
			data: "lowerdir=" + h + "c/diff:" + h + "l/B:" + h + "l/A", flags: unix.MS_RDONLY,
		},
		{
			name: "configured options", stack: child, how: manner{configured: options("nodev", "xino=off")},
			data:  "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work,xino=off",
			flags: unix.MS_NODEV,
		},
		{
			name: "asked options replace configured ones", stack: child,
			how:   manner{configured: options("nodev", "xino=off"), asked: asked("nosuid")},
			data:  "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work",
			flags: unix.MS_NOSUID,
		},
		{
			name: "metacopy is carried over", stack: child,
			how:   manner{configured: options("metacopy=on"), asked: asked("nosuid"), metacopy: true},
			data:  "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work,metacopy=on",
			flags: unix.MS_NOSUID,
		},
		{
			name: "metacopy that the kernel lacks", stack: child, how: manner{configured: options("metacopy=on", "index=off")},
			data: "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work,index=off",
		},
		{
			name: "rootless", stack: child, how: manner{userXattr: true},
			data: "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work,userxattr",
		},
		{
			name: "volatile", stack: child, how: manner{volatile: true},
			data: "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + "c/work,volatile",
		},
		{
			name: "volatile means nothing without a place for changes", stack: child, how: manner{volatile: true, readOnly: true},
			data: "lowerdir=" + h + "c/diff:" + h + "l/B:" + h + "l/A", flags: unix.MS_RDONLY,
		},
		{
			name: "label comes last", stack: child, how: manner{label: "u:r:t:s0:c1,c2", volatile: true},
			data: "lowerdir=" + h + "l/B:" + h + "l/A,upperdir=" + h + "c/diff,workdir=" + h + `c/work,volatile,context="u:r:t:s0:c1,c2"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := describe(tt.stack, tt.how)
			must(t, o.Validate())
			same(t, "options", o.Data(), tt.data)
			same(t, "flags", o.Options.Flags, tt.flags)
		})
	}
	same(t, "lower directories of the argument", child.lowers, []string{h + "l/B", h + "l/A"})
}
