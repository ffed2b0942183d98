package idmap_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
)

func TestTranslate(t *testing.T) {
	m := idmap.Mapping{
		UIDs: []idmap.Range{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}},
		GIDs: []idmap.Range{{ContainerID: 0, HostID: 2000, Size: 10}},
	}
	tests := []struct {
		name     string
		m        idmap.Mapping
		uid, gid int
		wantU    int
		wantG    int
		wantErr  bool
	}{
		{"identity", idmap.Mapping{}, 12, 34, 12, 34, false},
		{"root", m, 0, 0, 1000, 2000, false},
		{"second range", m, 5, 9, 100004, 2009, false},
		{"last of range", m, 65536, 0, 165535, 2000, false},
		{"uid past the end", m, 65537, 0, 0, 0, true},
		{"gid past the end", m, 0, 10, 0, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, g, err := tt.m.ToHost(tt.uid, tt.gid)
			if tt.wantErr {
				if !errors.Is(err, idmap.ErrUnmapped) || !errors.Is(err, errdefs.ErrInvalid) {
					t.Fatalf("error = %v, want ErrUnmapped", err)
				}
				return
			}
			if err != nil || u != tt.wantU || g != tt.wantG {
				t.Fatalf("ToHost = %d, %d, %v; want %d, %d", u, g, err, tt.wantU, tt.wantG)
			}
			bu, bg, err := tt.m.ToContainer(u, g)
			if err != nil || bu != tt.uid || bg != tt.gid {
				t.Fatalf("ToContainer = %d, %d, %v; want %d, %d", bu, bg, err, tt.uid, tt.gid)
			}
		})
	}
}

func TestRangeKeepsUnknownMembers(t *testing.T) {
	const in = `{"container_id":0,"host_id":1000,"size":10,"a":{"b": 1},"z":"<&>"}`
	var r idmap.Range
	if err := json.Unmarshal([]byte(in), &r); err != nil {
		t.Fatal(err)
	}
	// MarshalJSON itself keeps the bytes; json.Marshal would compact and escape them again.
	out, err := r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != in {
		t.Fatalf("got %s, want %s", out, in)
	}
}

func FuzzRange(f *testing.F) {
	f.Add(`{"container_id":0,"host_id":1000,"size":10}`)
	f.Add(`{"container_id":"x"}`)
	f.Fuzz(func(t *testing.T, s string) {
		var r idmap.Range
		if json.Unmarshal([]byte(s), &r) != nil {
			return
		}
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("accepted %q but does not marshal: %v", s, err)
		}
		var again idmap.Range
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("%s does not read back: %v", out, err)
		}
	})
}
