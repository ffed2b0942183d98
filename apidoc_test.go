package strata_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tableRow is one function of the old interface in docs/api.md and what stands for it now.
var tableRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|(.*)\\|$")

// named are names in backquotes, in notes and text, that look like symbols of ours.
var named = regexp.MustCompile("`((?:[a-z]+\\.)?[A-Z][A-Za-z]*(?:\\.[A-Z][A-Za-z]*)*)`")

// oldFunctions are the methods of the interface that docs/api.md translates.
var oldFunctions = strings.Fields(`
	RunRoot GraphRoot ImageStore TransientStore GraphDriverName GraphOptions PullOptions UIDMap GIDMap GraphDriver
	CreateLayer PutLayer CreateImage CreateContainer Metadata SetMetadata Exists Status Delete DeleteLayer DeleteImage
	DeleteContainer Wipe MountImage UnmountImage Mount Unmount Mounted Changes DiffSize Diff ApplyDiff PrepareStagedLayer
	ApplyStagedLayer CleanupStagedLayer DifferTarget LayersByCompressedDigest LayersByUncompressedDigest LayersByTOCDigest
	LayerSize LayerParentOwners Layers Images Containers Names Free SetNames AddNames RemoveNames ListImageBigData ImageBigData
	ImageBigDataSize ImageBigDataDigest SetImageBigData ImageDirectory ImageRunDirectory ListLayerBigData LayerBigData
	SetLayerBigData ImageSize ListContainerBigData ContainerBigData ContainerBigDataSize ContainerBigDataDigest
	SetContainerBigData ContainerSize Layer Image ImagesByTopLayer ImagesByDigest Container ContainerByLayer ContainerDirectory
	SetContainerDirectoryFile FromContainerDirectory ContainerRunDirectory SetContainerRunDirectoryFile
	FromContainerRunDirectory ContainerParentOwners Lookup Shutdown Version GetDigestLock LookupAdditionalLayer GarbageCollect
	Check Repair MultiList Dedup`)

// TestAPITable: docs/api.md has every function of the old interface once, and everything
// of ours that it names exists.
func TestAPITable(t *testing.T) {
	text, err := os.ReadFile("docs/api.md")
	must(t, err)
	ours := map[string]bool{}
	for _, dir := range []string{".", "layer", "image", "container", "config", "errdefs"} {
		collectSymbols(t, ours, dir)
	}
	var olds []string
	for _, row := range tableRow.FindAllStringSubmatch(string(text), -1) {
		olds = append(olds, row[1])
		if !ours[row[2]] {
			t.Errorf("%s -> %s: no such symbol", row[1], row[2])
		}
		for _, name := range named.FindAllStringSubmatch(row[3], -1) {
			if !ours[name[1]] {
				t.Errorf("note on %s: no symbol %s", row[1], name[1])
			}
		}
	}
	for _, f := range oldFunctions {
		if n := len(slices.DeleteFunc(slices.Clone(olds), func(o string) bool { return o != f })); n != 1 {
			t.Errorf("%s stands %d times in the tables", f, n)
		}
	}
	prose := tableRow.ReplaceAllString(string(text), "")
	for _, name := range named.FindAllStringSubmatch(prose, -1) {
		if !ours[name[1]] && name[1] != "errors.Is" {
			t.Errorf("text: no symbol %s", name[1])
		}
	}
}

// collectSymbols adds a package's exported names: "Open", "Store.Layer", "layer.Store.Stage",
// "LayerOptions.Expect".
func collectSymbols(t testing.TB, into map[string]bool, dir string) {
	t.Helper()
	prefix := ""
	if dir != "." {
		prefix = filepath.Base(dir) + "."
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, d := range f.Decls {
			for _, name := range declared(d) {
				into[prefix+name] = true
			}
		}
	}
	if len(files) == 0 {
		t.Fatal(fs.ErrNotExist, dir)
	}
}

func declared(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return []string{receiver(d) + d.Name.Name}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names = append(names, members(s)...)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// receiver is "Store." for a method of Store.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// members are a type's name and those of its fields.
func members(s *ast.TypeSpec) []string {
	names := []string{s.Name.Name}
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		return names
	}
	for _, field := range st.Fields.List {
		for _, n := range field.Names {
			names = append(names, s.Name.Name+"."+n.Name)
		}
	}
	return names
}
