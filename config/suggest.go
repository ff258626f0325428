package config

import "strings"

// suggestLetters is how many letters a key may differ from a known one, at most a
// third of its length, for that one to be suggested.
const suggestLetters = 4

// suggest names the key that somebody may have had in mind who wrote one that
// nobody knows, in the form of the end of a sentence; "" if nothing is like it.
func suggest(name string) string {
	short := strings.ToLower(strings.TrimPrefix(name, "zookeeper."))
	if short == "" {
		return ""
	}
	best, least := "", min(suggestLetters, len(short)/3)+1
	for i := range keys {
		known := keys[i].name
		lower := strings.ToLower(known)
		if lower == short {
			return ", write " + known
		}
		if strings.HasSuffix(lower, "."+short) {
			best, least = known, 0
		}
		if d := distance(short, lower, least); d < least {
			best, least = known, d
		}
	}
	kind, number, _ := strings.Cut(short, ".")
	for _, known := range []string{"server", "group", "weight"} {
		if d := distance(kind, known, least); number != "" && d < least {
			best, least = known+"."+number, d
		}
	}
	if best == "" {
		return ""
	}
	return "; the nearest key that is known is " + best
}

// distance counts the letters to add, drop, exchange or swap with their neighbour
// to make b of a. It stops at limit, which it then gives.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return min(row[len(b)], limit)
}
