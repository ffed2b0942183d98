package idmap

import (
	"encoding/json"
	"maps"
	"slices"
)

func sortedKeys(m map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(m)) }
