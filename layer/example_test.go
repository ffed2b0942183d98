package layer_test

import (
	"fmt"

	"github.com/stratastore/strata/layer"
)

func ExampleChainIDs() {
	chains := layer.ChainIDs([]layer.DiffID{
		"sha256:f22ded4817bd957f43e6b2ce768915f25b230b1eeb006d60216dae2772950f56", // base
		"sha256:c4facd0ebf1a99ba50aef739a7676b0840c9fa0854804f8cd22a148729115911",
	})
	fmt.Println(chains[1])
	// Output: sha256:ab1df0c4b94cc993a744ca0477ab1331cab6ef6ff8992a4726bf748b0925aa9c
}

func ExampleImageLayerID() {
	base := layer.ImageLayerID("", "sha256:f59533cd56261fb1d9fb1641c98b84ce5b3b5aee79087b43606f2d6ad714d9b4")
	upper := layer.ImageLayerID(base, "sha256:891a325a610f5fd1f8fc8b8ae9c916ef16271f9351caf85c549c6bc0771fdf91")
	fmt.Println(upper)
	// Output: d032b42bdafe7e7e5fec4b1143367e30240766715836c49131a1fa9e04b706b9
}
