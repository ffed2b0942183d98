package layer

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
)

const emptyDiff = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")

func vectorDiff(i int) DiffID { return DiffID(digest.FromString(fmt.Sprintf("layer-%d", i))) }

func repeated(d DiffID, n int) []DiffID {
	all := make([]DiffID, n)
	for i := range all {
		all[i] = d
	}
	return all
}

// The vectors are those of the specification (docker-layers-and-volumes, A.1).
func TestChainIDs(t *testing.T) {
	tests := []struct {
		name  string
		diffs []DiffID
		want  ChainID
	}{
		{"one", []DiffID{vectorDiff(1)}, "sha256:922badbaf192e1a4a5af64df422de6d73e96e70d0ab52245bd3d692bcea9cfad"},
		{"two", []DiffID{vectorDiff(1), vectorDiff(2)}, "sha256:471bc0f0b65a24f41cc5a38d056ca18b1bab4db11743864782938a963f9035ec"},
		{"three", []DiffID{vectorDiff(1), vectorDiff(2), vectorDiff(3)}, "sha256:ea3a04774fc341467d68671438730ab14ca2f0da46a433b00e4020a5717ca971"},
		{"four", []DiffID{vectorDiff(1), vectorDiff(2), vectorDiff(3), vectorDiff(4)}, "sha256:37027a1020e9dec970a756568b5e4853147dcd75db14f04f3d4f10a33daeea87"},
		{"two empty", repeated(emptyDiff, 2), "sha256:170b376f64fb30995c140276be3d71dfb256b308d86183ca3b22aa93a79ad548"},
		{"three empty", repeated(emptyDiff, 3), "sha256:7800f80a93336d416612f372faa5f69eb67b353ce6ae9535fa0848f8784c74b1"},
		{"125 empty", repeated(emptyDiff, 125), "sha256:93a63c6285986272040a09559889b445a9619e914557bdd50e85774d75158cfa"},
		{
			"a real engine's",
			[]DiffID{
				"sha256:f22ded4817bd957f43e6b2ce768915f25b230b1eeb006d60216dae2772950f56",
				"sha256:c4facd0ebf1a99ba50aef739a7676b0840c9fa0854804f8cd22a148729115911",
			},
			"sha256:ab1df0c4b94cc993a744ca0477ab1331cab6ef6ff8992a4726bf748b0925aa9c",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			chains := ChainIDs(tt.diffs)
			if got := chains[len(chains)-1]; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if chains[0] != ChainID(tt.diffs[0]) {
				t.Errorf("the base's chain ID %s is not its diff ID", chains[0])
			}
		})
	}
}

func TestChainIDsOfNothing(t *testing.T) {
	if got := ChainIDs(nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestWrongChainsDiffer(t *testing.T) {
	good := ChainIDs([]DiffID{vectorDiff(1), vectorDiff(2)})[1]
	for name, wrong := range map[string]ChainID{
		"trailing newline": "sha256:dc7329dd11693f5e57d541b733d0c3179503932a1e79fee5a1ff0d11e0ca235c",
		"bare hex":         "sha256:0e2985093e119f604380a23cdb49604833753cfc614fb8ae7fa999eefede033e",
	} {
		if good == wrong {
			t.Errorf("chain ID equals the %s one", name)
		}
	}
}
