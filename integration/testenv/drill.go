package testenv

import "os"

// InDrill chooses between the size of a run in make test and that in make
// drill, which sets ZOOID_DRILL.
func InDrill(test, drill int) int {
	if os.Getenv("ZOOID_DRILL") != "" {
		return drill
	}
	return test
}
