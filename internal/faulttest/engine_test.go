//go:build linux && amd64

package faulttest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"

	"github.com/google/go-cmp/cmp"
)

// engine is the other engines' own command.
const engine = "containers-storage"

// listed lets a command list all objects, as "kind ID", sorted.
func (b *bench) listed(command string) ([]string, error) {
	out := []string{}
	for _, kind := range []string{"layers", "images", "containers"} {
		var errs bytes.Buffer
		cmd := exec.CommandContext(b.t.Context(), command, "--graph", b.graph(), "--run", b.runRoot(), "--storage-driver", b.driver, kind, "--json")
		cmd.Env, cmd.Stderr = b.env(), &errs
		text, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w: %s", command, kind, err, errs.String())
		}
		var objects []struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(text, &objects); err != nil {
			return nil, fmt.Errorf("%s %s: %w: %s", command, kind, err, text)
		}
		for _, o := range objects {
			out = append(out, kind+" "+o.ID)
		}
	}
	slices.Sort(out)
	return out, nil
}

// sameEngine demands that the other engine opens the store, and lists what strata does.
func (p *point) sameEngine() {
	p.t.Helper()
	theirs, err := p.listed(engine)
	if err != nil {
		p.breaks("%v", err)
		return
	}
	ours, err := p.listed(p.common.binary)
	if err != nil {
		p.breaks("%v", err)
		return
	}
	if diff := cmp.Diff(ours, theirs); diff != "" {
		p.breaks("the other engine lists something else: %s", diff)
	}
}
