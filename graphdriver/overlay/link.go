package overlay

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
)

// linkID is a layer's short name in l/: 26 characters, so that 128 of them fit into a page of
// mount options (on-disk format, 4.1).
type linkID string

const linkLength = 26

// newLinkID draws a name.
func newLinkID() linkID {
	var random [17]byte
	_, _ = rand.Read(random[:]) // never fails (package crypto/rand)
	return linkID(base32.StdEncoding.EncodeToString(random[:])[:linkLength])
}

// parseLink reads the content of a "link" file. Newlines at its end are none of it.
func parseLink(text string) (linkID, error) {
	text = strings.TrimRight(text, "\n")
	if len(text) != linkLength || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return "", fmt.Errorf("%.40q is no link name: %w", text, errdefs.ErrCorrupt)
	}
	return linkID(text), nil
}

// entry is the name as it stands in "lower" files.
func (l linkID) entry() string { return "l/" + string(l) }

// target is what the symbolic link of a layer points to.
func target(id graphdriver.ID) string { return "../" + string(id) + "/diff" }

// parseTarget reads the layer out of a symbolic link's target; false if the target has
// another form.
func parseTarget(text string) (graphdriver.ID, bool) {
	rest, up := strings.CutPrefix(text, "../")
	name, diff := strings.CutSuffix(rest, "/diff")
	id := graphdriver.ID(name)
	return id, up && diff && id.Validate() == nil
}

// parseLower reads the content of a "lower" file: the links of all ancestors, nearest
// first (on-disk format, 4.3). There is no empty list: a layer without ancestors has no file.
func parseLower(text string) ([]linkID, error) {
	if text == "" {
		return nil, fmt.Errorf("empty: %w", errdefs.ErrCorrupt)
	}
	var list []linkID
	for entry := range strings.SplitSeq(text, ":") {
		name, ok := strings.CutPrefix(entry, "l/")
		link, err := parseLink(name)
		if !ok || err != nil || strings.HasSuffix(name, "\n") {
			return nil, fmt.Errorf("entry %d is %.40q: %w", len(list), entry, errdefs.ErrCorrupt)
		}
		list = append(list, link)
	}
	return list, nil
}

// formatLower is the opposite of parseLower.
func formatLower(list []linkID) string {
	entries := make([]string, len(list))
	for i, link := range list {
		entries[i] = link.entry()
	}
	return strings.Join(entries, ":")
}

// DamageError says that one of the driver's own small files is not what it was. Its kind is
// errdefs.ErrCorrupt.
type DamageError struct {
	// Path is the file, Reason what is wrong with it.
	Path, Reason string
}

func (e *DamageError) Error() string { return e.Path + " is damaged: " + e.Reason }

// Unwrap returns the kind.
func (e *DamageError) Unwrap() error { return errdefs.ErrCorrupt }

// Hint names the way out.
func (e *DamageError) Hint() string { return "strata check --repair" }

func damaged(path string, err error) error {
	return &DamageError{Path: path, Reason: strings.TrimSuffix(err.Error(), ": "+errdefs.ErrCorrupt.Error())}
}

// link reads the layer's short name; a *DamageError if the file is missing or wrong.
func (l layerDir) link() (linkID, error) {
	path := l.path("link")
	text, err := atomicfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", damaged(path, errors.New("missing"))
	}
	if errors.Is(err, errdefs.ErrCorrupt) {
		return "", damaged(path, errors.New("no regular file"))
	}
	if err != nil {
		return "", fmt.Errorf("read link of layer %s: %w", l.id, err)
	}
	link, err := parseLink(string(text))
	if err != nil {
		return "", damaged(path, err)
	}
	return link, nil
}

// lower reads the links of the layer's ancestors, nearest first; none if it says that it has
// none. A *DamageError if the file is wrong.
func (l layerDir) lower() ([]linkID, error) {
	path := l.path("lower")
	text, err := atomicfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, errdefs.ErrCorrupt) {
		return nil, damaged(path, errors.New("no regular file"))
	}
	if err != nil {
		return nil, fmt.Errorf("read ancestors of layer %s: %w", l.id, err)
	}
	list, err := parseLower(string(text))
	if err != nil {
		return nil, damaged(path, err)
	}
	return list, nil
}

// links reads all symbolic links of a home by the layer that they point to, each list sorted,
// and the names of those that point nowhere sensible.
func (h home) links() (of map[graphdriver.ID][]linkID, wrong []string, err error) {
	entries, err := os.ReadDir(h.linkDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("list links: %w", err)
	}
	of = map[graphdriver.ID][]linkID{}
	for _, e := range entries {
		text, err := os.Readlink(filepath.Join(h.linkDir(), e.Name()))
		if err != nil {
			continue // not a link, or gone since
		}
		if id, ok := parseTarget(text); ok {
			of[id] = append(of[id], linkID(e.Name()))
		} else {
			wrong = append(wrong, e.Name())
		}
	}
	return of, wrong, nil
}
