package layer

import (
	"slices"
	"testing"
)

func TestIDOfAnAdditionalStoreCanBeUsedAgain(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		other := newEnv(t, e.driver)
		create(t, other.open(t), CreateOptions{ID: "same"})
		e.additional = []string{other.graph}
		s := e.open(t)
		create(t, s, CreateOptions{ID: "same"})
		if ids := listIDs(t, s); !slices.Equal(ids, []ID{"same", "same"}) {
			t.Errorf("layers %v", ids)
		}
		if l := get(t, s, "same"); l.ReadOnly {
			t.Error("the additional store's layer goes first")
		}
		remove(t, s, "same")
		if l := get(t, s, "same"); !l.ReadOnly {
			t.Error("the wrong layer was deleted")
		}
	})
}
