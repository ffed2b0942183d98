package strata

// uniqueIDs keeps the first of each.
func uniqueIDs[T comparable](ids []T) []T {
	seen := make(map[T]bool, len(ids))
	var out []T
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}
