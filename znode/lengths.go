package znode

// pathLengths counts paths by their length in bytes. Who looks for those among a
// path's ancestors asks it first: a path of 100 kB has 50,000 ancestors, and to hash
// each of them would take seconds under the tree's lock.
type pathLengths map[int]int

// add counts n more paths of path's length, or -n less.
func (l pathLengths) add(path string, n int) {
	if l[len(path)] += n; l[len(path)] == 0 {
		delete(l, len(path))
	}
}

// has tells whether there may be a path like this one.
func (l pathLengths) has(path string) bool { return l[len(path)] != 0 }
