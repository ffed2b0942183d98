//go:build linux && amd64

package faulttest_test

import (
	"os"
	"path/filepath"
)

// verb is one command that changes a store, at work on the store that bench.fill makes.
type verb struct {
	name string
	// prepare are commands that come before, undisturbed.
	prepare [][]string
	// plant changes the store's files behind its back, after that.
	plant func(b *bench)
	args  []string
	// driver, when not empty, is the only one that it is tried with.
	driver string
	// gradual is an object that the verb changes step by step, so that a disturbance
	// leaves it anywhere in between; done again, it is as wanted.
	gradual string
	// settle is what a person does about mounts that a killed verb left.
	settle []string
	// garbage: what the verb makes belongs to nothing, so that gc removes it.
	garbage bool
	// reflinks: the store is on a file system where files can share data.
	reflinks bool
}

// verbs are the mutating verbs of the command. What is made has an ID of its own, so
// that a second attempt at something that was done is refused.
func verbs() []verb {
	words := func(w ...string) []string { return w }
	named := [][]string{{"add-names", "--name", "localhost/second:1", "localhost/victim:1"}}
	twins := [][]string{{"import-layer", "--id", id("twin"), "--file", "@large.tar"}, {"import-layer", "--id", id("other"), "--file", "@large.tar"}}
	commit := words("commit", "--created", "0", "--name", "localhost/commit:1", "work")
	return []verb{
		{name: "create-layer", args: words("create-layer", "--id", id("new"), "--name", "new", "lone")},
		{name: "create-layer-base", args: words("create-layer", "--id", id("new"))},
		{name: "import-layer", args: words("import-layer", "--id", id("new"), "--name", "new", "--file", "@last.tar", "lone")},
		{name: "create-image", args: words("create-image", "--id", id("new"), "--name", "new", "lone")},
		{name: "create-container", args: words("create-container", "--id", id("new"), "--name", "new", "localhost/app:1")},
		{name: "create-container-bare", args: words("create-container", "--id", id("new"), "")},
		{name: "load", args: words("load", "@next.tar")},
		{name: "load-again", args: words("load", "@app.tar")},
		{name: "load-name-taken", args: words("load", "--name", "localhost/app:1", "@next.tar")},
		{name: "import", args: words("import", "--created", "0", "--name", "localhost/import:1", "@last.tar")},
		{name: "commit", args: commit},
		{name: "commit-mounted", prepare: [][]string{{"mount", "work"}}, args: commit},
		{name: "delete-layer", args: words("delete-layer", "empty")},
		{name: "delete-image", args: words("delete-image", "localhost/victim:1")},
		{name: "delete-image-stack", prepare: [][]string{{"load", "@next.tar"}}, args: words("delete-image", "localhost/next:1")},
		{name: "delete-container", args: words("delete-container", "work")},
		{name: "delete-container-mounted", prepare: [][]string{{"mount", "work"}}, args: words("delete-container", "work")},
		{name: "delete", args: words("delete", "work")},
		{name: "set-names", args: words("set-names", "--name", "a", "--name", "b", "lone")},
		{name: "add-names", args: words("add-names", "--name", "localhost/added:1", "localhost/app:1")},
		{name: "add-names-taken", args: words("add-names", "--name", "localhost/victim:1", "localhost/app:1")},
		{name: "remove-names", args: words("remove-names", "--name", "keep", id("keep"))},
		{name: "set-metadata", args: words("set-metadata", "--metadata", "text", "keep")},
		{name: "set-layer-data", args: words("set-layer-data", "--file", "@item", "lone", "new")},
		{name: "replace-layer-data", args: words("set-layer-data", "--file", "@item", "lone", "old")},
		{name: "set-image-data", args: words("set-image-data", "--file", "@item", "bare", "new")},
		{name: "replace-image-data", args: words("set-image-data", "--file", "@item", "bare", "old")},
		{name: "set-container-data", args: words("set-container-data", "--file", "@item", "keep", "new")},
		{name: "replace-container-data", args: words("set-container-data", "--file", "@item", "keep", "old")},
		{name: "mount", args: words("mount", "work")},
		{name: "mount-again", prepare: [][]string{{"mount", "work"}}, args: words("mount", "work")},
		{name: "mount-image", args: words("mount", "--read-only", "localhost/app:1")},
		{name: "unmount", prepare: [][]string{{"mount", "work"}}, args: words("unmount", "work")},
		{name: "unmount-force", prepare: [][]string{{"mount", "work"}, {"mount", "work"}}, args: words("unmount", "--force", "work")},
		{name: "get-container-dir", args: words("get-container-dir", "keep")},
		{name: "shutdown", args: words("shutdown")},
		{name: "wipe", args: words("wipe")},
		{name: "tag", args: words("tag", "localhost/app:1", "localhost/victim:1")},
		{name: "rmi", args: words("rmi", "localhost/victim:1")},
		{name: "rmi-force", args: words("rmi", "--force", "localhost/app:1")},
		{name: "rm", args: words("rm", "keep", "work")},
		{name: "applydiff", args: words("applydiff", "--file", "@last.tar", "lone")},
		{name: "applydiff-fresh", args: words("applydiff", "--file", "@last.tar", "empty")},
		{name: "applydiff-link", args: words("applydiff", "--file", "@linked.tar", "lone")},
		{name: "applydiff-mounted", prepare: [][]string{{"mount", "empty"}}, args: words("applydiff", "--file", "@last.tar", "empty"), gradual: "layer " + id("empty")},
		{name: "applydiff-staging", args: words("applydiff-using-staging-dir", "empty", "@tree"), driver: "overlay"},
		{name: "copy-new", args: words("copy", "@item", "work:/etc/item")},
		{name: "copy-over", args: words("copy", "@item", "work:/made"), gradual: "layer of " + id("work")},
		{name: "copy-tree", args: words("copy", "@tree", "work:/new"), gradual: "layer of " + id("work")},
		{name: "copy-merge", args: words("copy", "@tree", "work:/etc"), gradual: "layer of " + id("work")},
		{name: "copy-between", args: words("copy", "--chown", "1:2", "keep:/etc", "work:/kept/etc"), gradual: "layer of " + id("work")},
		{name: "copy-out", args: words("copy", "lone:/opt", "%opt")},
		{name: "dedup", prepare: twins, args: words("dedup"), reflinks: true},
		{name: "create-storage-layer", args: words("create-storage-layer", "--id", id("new"), "lone"), garbage: true},
		{name: "unmount-again", prepare: [][]string{{"mount", "work"}, {"mount", "work"}}, args: words("unmount", "work")},
		{name: "unmount-image", prepare: [][]string{{"mount", "--read-only", "localhost/app:1"}}, args: words("unmount", "localhost/app:1")},
		{name: "unmount-several", prepare: [][]string{{"mount", "work", "keep", "empty"}}, args: words("unmount", "work", "keep", "empty")},
		{name: "mount-layer", args: words("mount", "empty")},
		{name: "mount-options", args: words("mount", "--opt", "ro", "work")},
		{name: "mount-several", args: words("mount", "work", "keep"), settle: words("unmount", "--force", "work", "keep")},
		{name: "get-container-run-dir", args: words("get-container-run-dir", "keep")},
		{name: "get-image-dir", args: words("get-image-dir", "bare")},
		{name: "get-image-run-dir", args: words("get-image-run-dir", "bare")},
		{name: "shutdown-force", prepare: [][]string{{"mount", "work", "empty"}, {"mount", "--read-only", "localhost/app:1"}}, args: words("shutdown", "--force")},
		{name: "delete-image-named", prepare: named, args: words("delete-image", "localhost/second:1")},
		{name: "rmi-name", prepare: named, args: words("rmi", "localhost/second:1")},
		{name: "rm-force", prepare: [][]string{{"mount", "work"}}, args: words("rm", "--force", "work")},
		{name: "delete-several", args: words("delete", "keep", "work", "localhost/victim:1")},
		{name: "du", args: words("du")},
		{name: "save", args: words("save", "--output", "%image.tar", "localhost/app:1")},
		{name: "save-docker", args: words("save", "--format", "docker-archive", "--output", "%image.tar", "localhost/app:1")},
		{name: "diff-file", args: words("diff", "--file", "%diff.tar", "lone")},
		{name: "get-data-file", args: words("get-image-data", "--file", "%item", "bare", "old")},
		{name: "gc", plant: plantOrphans, args: words("gc")},
		{name: "check-repair", plant: plantDamage, args: words("check", "--repair"), driver: "overlay"},
		{name: "copy-mounted", prepare: [][]string{{"mount", "work"}}, args: words("copy", "@tree", "work:/new"), gradual: "layer of " + id("work")},
	}
}

// plantOrphans leaves files of layers and images that no record speaks of.
func plantOrphans(b *bench) {
	b.t.Helper()
	home := filepath.Join(b.graph(), b.driver)
	if b.driver == "vfs" {
		home = filepath.Join(home, "dir")
	}
	for _, dir := range []string{
		filepath.Join(home, id("orphan"), "diff"),
		filepath.Join(b.graph(), b.driver+"-layers", id("orphan")),
		filepath.Join(b.graph(), b.driver+"-images", id("orphan")),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.t.Fatal(err)
		}
		b.plant(filepath.Join(dir, "file"), "left")
	}
	b.plant(filepath.Join(b.graph(), b.driver+"-layers", id("orphan")+".tar-split.gz"), "")
}

// plantDamage loses what a repair can derive.
func plantDamage(b *bench) {
	b.t.Helper()
	for _, pattern := range []string{filepath.Join("l", "*"), filepath.Join(id("empty"), "lower")} {
		found, err := filepath.Glob(filepath.Join(b.graph(), b.driver, pattern))
		if err != nil || len(found) == 0 {
			b.t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		for _, path := range found {
			if err := os.Remove(path); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func (b *bench) plant(path, text string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}
