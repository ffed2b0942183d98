package idmap_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stratastore/strata/internal/idmap"
)

func TestPick(t *testing.T) {
	type r = idmap.Range
	tests := []struct {
		name                   string
		size                   int
		available, used, fixed []r
		want                   []r
	}{
		{"first of all", 10, []r{{HostID: 100, Size: 100}}, nil, nil, []r{{HostID: 100, Size: 10}}},
		{"all of it", 100, []r{{HostID: 100, Size: 100}}, nil, nil, []r{{HostID: 100, Size: 100}}},
		{"one too many", 101, []r{{HostID: 100, Size: 100}}, nil, nil, nil},
		{"behind what is used", 10, []r{{HostID: 100, Size: 100}}, []r{{HostID: 90, Size: 30}}, nil, []r{{HostID: 120, Size: 10}}},
		{"around what is used", 10, []r{{HostID: 100, Size: 100}}, []r{{HostID: 104, Size: 6}}, nil, []r{{HostID: 100, Size: 4}, {ContainerID: 4, HostID: 110, Size: 6}}},
		{"used twice", 10, []r{{HostID: 100, Size: 100}}, []r{{HostID: 100, Size: 5}, {HostID: 102, Size: 8}}, nil, []r{{HostID: 110, Size: 10}}},
		{"over two ranges, in their order", 10, []r{{HostID: 500, Size: 4}, {HostID: 100, Size: 100}}, nil, nil, []r{{HostID: 500, Size: 4}, {ContainerID: 4, HostID: 100, Size: 6}}},
		{"a fixed part", 10, []r{{HostID: 100, Size: 100}}, nil, []r{{ContainerID: 3, HostID: 100, Size: 2}},
			[]r{{HostID: 102, Size: 3}, {ContainerID: 5, HostID: 105, Size: 5}, {ContainerID: 3, HostID: 100, Size: 2}}},
		{"a fixed part beyond", 2, []r{{HostID: 100, Size: 2}}, nil, []r{{ContainerID: 7, HostID: 5, Size: 1}},
			[]r{{HostID: 100, Size: 2}, {ContainerID: 7, HostID: 5, Size: 1}}},
		{"nothing available", 1, nil, nil, nil, nil},
		{"everything used", 1, []r{{HostID: 100, Size: 100}}, []r{{HostID: 0, Size: 1000}}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, enough := idmap.Pick(tt.size, tt.available, tt.used, tt.fixed)
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(r{})); d != "" || enough != (tt.want != nil) {
				t.Errorf("enough is %v (-want +got):\n%s", enough, d)
			}
		})
	}
}
