package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/idmap"
)

func copyVerb() *Verb {
	var chown string
	return &Verb{
		Name: "copy", Group: groupChanges,
		Summary: "Copy files into, out of and between layers and containers", Args: "[LAYER:]PATH... [LAYER:]PATH",
		Min: 2, Max: unlimited, JSON: true, Files: true,
		Detail: "An operand with a colon is a path inside of a layer or a container, as a source also of an image; links in it\n" +
			"stay inside. Others are files here. A directory is copied as a tree to the target path, a file to the target path\n" +
			"itself; with a / at its end the target is the directory to copy into. Modes, times, hard links and owners are kept;\n" +
			"owners are those that a container sees.",
		Examples: []Example{
			{"Put a file into a container", "strata copy nginx.conf web:/etc/nginx/nginx.conf"},
			{"Get a directory out of an image", "strata copy debian:/etc/ssl ./ssl"},
			{"Copy between containers for another owner", "strata copy --chown 1000:1000 one:/srv two:/srv"},
		},
		Options: []option.Option{option.As("UID[:GID]", option.String(&chown, "chown,o", "Owner for all that is copied, as the container sees it"))},
		Objects: []strata.Kind{strata.KindContainer, strata.KindLayer, strata.KindImage},
		Run: func(ctx context.Context, c *Call) error {
			owner, err := parseOwner(chown)
			if err != nil {
				return err
			}
			return copyFiles(ctx, c, filecopy.Options{Owner: owner})
		},
	}
}

// parseOwner reads "UID[:GID]"; without a GID the UID serves for both.
func parseOwner(text string) (*filecopy.Owner, error) {
	if text == "" {
		return nil, nil
	}
	uid, gid, both := strings.Cut(text, ":")
	if !both {
		gid = uid
	}
	u, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return nil, badOwner(text, "UID", err)
	}
	g, err := strconv.ParseUint(gid, 10, 32)
	if err != nil {
		return nil, badOwner(text, "GID", err)
	}
	return &filecopy.Owner{UID: int(u), GID: int(g)}, nil
}

func badOwner(text, kind string, err error) error {
	return &reworded{
		usagef("owners are numbers, for example --chown 1000:1000", "--chown %s: the %s is not a number", quoteWord(text), kind),
		fmt.Sprintf("bad %s: %v", kind, err),
	}
}

// copied tells in JSON what was copied to where.
type copied struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

func copyFiles(ctx context.Context, c *Call, opts filecopy.Options) (err error) {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	m := &copyMounts{c: c, store: store, trees: map[string]*tree{}}
	defer func() { err = errorsJoin(err, m.close(ctx)) }()
	last := len(c.Args) - 1
	target, err := m.operand(ctx, c.Args[last], true)
	if err != nil {
		return err
	}
	sources := make([]operand, last)
	for i := range sources {
		if sources[i], err = m.operand(ctx, c.Args[i], false); err != nil {
			return err
		}
	}
	if err := oneForOne(c, sources, target); err != nil {
		return err
	}
	done := make([]copied, 0, last)
	for _, source := range sources {
		to := target.forSource(source)
		if err := copyOne(ctx, source, to, opts); err != nil {
			return &copyError{from: source, to: to, err: err}
		}
		done = append(done, copied{source.text, to.text})
	}
	if c.classic() {
		return nil // its --json has no effect
	}
	return c.Show(Result{JSON: done})
}

// operand is one argument of copy.
type operand struct {
	// text is as typed, or as typed with a name added.
	text string
	// path is inside the tree.
	path string
	tree *tree
}

// into reports whether the operand says that it is a directory to copy into.
func (o operand) into() bool {
	end := path.Base("/" + o.path)
	return strings.HasSuffix(o.text, "/") || end == "." || end == ".."
}

// host is where the operand is in the file system here.
func (o operand) host() string { return filepath.Join(o.tree.path, o.path) }

// forSource adds the source's name to a target that is a directory to copy files into.
func (o operand) forSource(source operand) operand {
	base := path.Base(path.Clean("/" + source.path))
	if !o.into() || base == "/" || source.isDir() {
		return o
	}
	o.text, o.path = strings.TrimSuffix(o.text, "/")+"/"+base, path.Join(o.path, base)
	return o
}

func (o operand) isDir() bool {
	name, err := filecopy.Resolve(o.tree.root, o.path, true)
	if err != nil {
		return false
	}
	d, err := o.tree.root.Dir(name)
	if err != nil {
		return false
	}
	d.Release()
	return true
}

// oneForOne refuses, in the modern manner, to copy several files to one name, where
// only the last would be left.
func oneForOne(c *Call, sources []operand, target operand) error {
	for _, s := range sources {
		if len(sources) > 1 && !c.classic() && !target.into() && !s.isDir() {
			return usagef("name a directory to copy into: "+target.text+"/", "copy %s: each file would replace the one before it at %s", s.text, target.text)
		}
	}
	return nil
}

// copyOne copies one source. A source that is a link stands for what it points to.
func copyOne(ctx context.Context, source, target operand, opts filecopy.Options) error {
	from, err := filecopy.Resolve(source.tree.root, source.path, true)
	if err != nil {
		return err
	}
	to, err := filecopy.Resolve(target.tree.root, target.path, source.isDir())
	if err != nil {
		return err
	}
	return filecopy.Copy(ctx,
		filecopy.Place{Root: source.tree.root, Name: from, Mapping: source.tree.mapping},
		filecopy.Place{Root: target.tree.root, Name: to, Mapping: target.tree.mapping}, opts)
}

// copyError is a copy that went wrong.
type copyError struct {
	from, to operand
	err      error
}

func (e *copyError) Error() string {
	return fmt.Sprintf("copy %s to %s: %v", quoteWord(e.from.text), quoteWord(e.to.text), e.err)
}

// ReferenceText is the old command's wording, which has the paths of the mounts.
func (e *copyError) ReferenceText() string {
	cause := e.err.Error()
	if errors.Is(e.err, fs.ErrNotExist) {
		cause = "stat " + e.from.shownPath() + ": no such file or directory"
	}
	return fmt.Sprintf("error copying %q to %q: %s", e.from.shownPath(), e.to.shownPath(), cause)
}

func (e *copyError) namesObject() {}

func (e *copyError) Unwrap() error { return e.err }

// Hint is the next step where the kind of error alone does not say.
func (e *copyError) Hint() string {
	switch {
	case errors.Is(e.err, filecopy.ErrOverDirectory):
		return fmt.Sprintf("to copy into the directory, end the target with a slash: %s/", e.to.text)
	case errors.Is(e.err, idmap.ErrUnmapped):
		return "name an owner that the target's ID map has: --chown 0:0"
	}
	return ""
}

// shownPath is what the old command calls the operand.
func (o operand) shownPath() string {
	if o.tree.path == "/" {
		return o.text
	}
	return o.host()
}
