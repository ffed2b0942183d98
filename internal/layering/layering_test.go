package layering_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/stratastore/strata"

// levels lists the packages from the bottom up. A package may import what stands
// on a lower line; on the same line only what it is paired with in siblings.
var levels = [][]string{
	{"errdefs"},
	{"internal/idmap", "internal/faults", "internal/reserve", "internal/layering"},
	{"internal/atomicfile", "internal/rootfd", "internal/mountapi", "internal/objectid", "lockfile"},
	{"internal/testutil", "internal/pluginsock", "internal/livefile"},
	{"internal/bigdata", "internal/dedupe", "internal/tempdir", "internal/lease", "internal/unfinished", "internal/treecopy", "internal/filecopy", "internal/recordfile", "config", "volume/internal"},
	{"volume"}, // stands alone: an image as a base comes in by an interface
	{"archive"},
	{"graphdriver"},
	{"graphdriver/drivertest", "graphdriver/internal"},
	{"graphdriver/overlay", "graphdriver/vfs", "graphdriver/plugin"},
	{"layer"},
	{"image"},
	{"container"},
	{""}, // the root package: Open, Options, Store
	{"internal/storetest"},
	{"oci"},
	{"dockerroot"},
	{"internal/cli", "examples"},
	{"cmd/strata"},
	{"internal/e2e", "internal/faulttest", "internal/powertest", "internal/hostiletest"},
}

// below are packages that live under a listed one and share its level.
func level(t *testing.T, pkg string) int {
	t.Helper()
	for dir := pkg; ; dir = filepath.Dir(dir) {
		for i, names := range levels {
			for _, name := range names {
				if name == dir {
					return i
				}
			}
		}
		if dir == "." || dir == "" || filepath.Dir(dir) == "." {
			t.Errorf("package %q is not on the map: add it to levels and to docs/architecture.md", pkg)
			return -1
		}
	}
}

// commandOnly are modules that only the command may pull in.
var commandOnly = []string{"github.com/spf13/", "github.com/vbauerster/mpb", "golang.org/x/term", "github.com/rogpeppe/go-internal"}

func TestImportsPointDownwards(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		seen++
		checkFile(t, root, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d files were looked at", seen)
	}
}

func checkFile(t *testing.T, root, path string) {
	t.Helper()
	rel, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	pkg := strings.TrimPrefix(filepath.ToSlash(rel), ".")
	own := level(t, pkg)
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		checkImport(t, path, pkg, own, imported)
	}
}

func checkImport(t *testing.T, path, pkg string, own int, imported string) {
	t.Helper()
	command := strings.HasPrefix(pkg, "internal/cli") || strings.HasPrefix(pkg, "cmd/")
	for _, prefix := range commandOnly {
		if strings.HasPrefix(imported, prefix) && !command {
			t.Errorf("%s imports %s, which only the command may", path, imported)
		}
	}
	if imported != module && !strings.HasPrefix(imported, module+"/") {
		return
	}
	target := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
	if strings.HasPrefix(target, pkg+"/") || strings.HasPrefix(pkg, target+"/") && target != "" && level(t, target) == own {
		return // a package and the ones inside it
	}
	if level(t, target) >= own {
		t.Errorf("%s: package %q imports %q, which is not below it", path, pkg, target)
	}
}
