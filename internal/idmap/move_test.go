package idmap_test

import (
	"testing"

	"github.com/stratastore/strata/internal/idmap"
)

func mapping(host, size int) idmap.Mapping {
	r := []idmap.Range{{HostID: host, Size: size}}
	return idmap.Mapping{UIDs: r, GIDs: r}
}

func TestMoveOwner(t *testing.T) {
	none, a, b := idmap.Mapping{}, mapping(1000, 10), mapping(5000, 5)
	tests := []struct {
		name         string
		move         idmap.Move
		uid, gid     int
		wantU, wantG int
	}{
		{"nothing", idmap.Move{}, 7, 8, 7, 8},
		{"into a mapping", idmap.Move{From: none, To: a}, 0, 9, 1000, 1009},
		{"out of a mapping", idmap.Move{From: a, To: none}, 1003, 1000, 3, 0},
		{"between mappings", idmap.Move{From: a, To: b}, 1004, 1001, 5004, 5001},
		{"user too large for the new one", idmap.Move{From: a, To: b}, 1005, 1004, 65534, 5004},
		{"group too large for the new one", idmap.Move{From: none, To: b}, 4, 5, 5004, 65534},
		{"foreign to the old one", idmap.Move{From: a, To: b}, 3, 1000, 65534, 5000},
		{"root's file that was never shifted", idmap.Move{From: a, To: b}, 0, 0, 5000, 5000},
		{"root is not in the new one", idmap.Move{To: idmap.Mapping{
			UIDs: []idmap.Range{{ContainerID: 1, HostID: 9, Size: 1}}, GIDs: []idmap.Range{{ContainerID: 1, HostID: 9, Size: 1}},
		}}, 0, 0, 65534, 65534},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if u, g := tt.move.Owner(tt.uid, tt.gid); u != tt.wantU || g != tt.wantG {
				t.Errorf("Owner(%d, %d) = %d, %d; want %d, %d", tt.uid, tt.gid, u, g, tt.wantU, tt.wantG)
			}
		})
	}
}

func TestMoveCapability(t *testing.T) {
	const (
		plain   = "\x01\x00\x00\x02" + "\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		of1000  = "\x01\x00\x00\x03" + "\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\xe8\x03\x00\x00"
		of5000  = "\x01\x00\x00\x03" + "\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x88\x13\x00\x00"
		of99999 = "\x01\x00\x00\x03" + "\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x9f\x86\x01\x00"
	)
	none, a, b := idmap.Mapping{}, mapping(1000, 10), mapping(5000, 5)
	tests := []struct {
		name     string
		move     idmap.Move
		in, want string
	}{
		{"nothing", idmap.Move{}, plain, plain},
		{"into a mapping", idmap.Move{From: none, To: a}, plain, of1000},
		{"out of a mapping", idmap.Move{From: a, To: none}, of1000, plain},
		{"between mappings", idmap.Move{From: a, To: b}, of1000, of5000},
		{"not namespaced in a mapping", idmap.Move{From: a, To: b}, plain, of5000},
		{"of a stranger", idmap.Move{From: a, To: b}, of99999, of99999},
		{"no capability", idmap.Move{From: a, To: b}, "x", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.move.Capability(tt.in); got != tt.want {
				t.Errorf("got %x, want %x", got, tt.want)
			}
		})
	}
}
