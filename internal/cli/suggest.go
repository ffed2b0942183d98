package cli

import "strings"

// suggest returns the candidate that was probably meant, or "": the one with the
// fewest slips, or the only one that the word begins.
func suggest(word string, candidates []string) string {
	best, fewest := "", len(word)/3+1
	for _, c := range candidates {
		if n := slips(word, c); n <= fewest && (best == "" || n < fewest) {
			best, fewest = c, n
		}
	}
	if best != "" {
		return best
	}
	for _, c := range candidates {
		if len(word) > 2 && strings.HasPrefix(c, word) {
			return c
		}
	}
	return ""
}

// slips counts insertions, deletions, replacements and swaps of neighbours.
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j-1]+cost, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// meant are words of other tools and the verb that does the same here.
func meant() map[string]string {
	return map[string]string{
		"build": "commit", "cp": "copy", "export": "save", "images-list": "images", "list": "images",
		"ls": "images", "ps": "containers", "pull": "load", "push": "save", "reset": "wipe",
		"run": "create-container", "create": "create-container",
		"remove": "delete", "show": "inspect", "info": "status", "untag": "remove-names",
		"umount-all": "shutdown", "size": "diffsize", "completions": "completion", "manual": "man",
	}
}
