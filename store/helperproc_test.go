package store

// helperDir names the variable that makes the test program play a server.
const helperDir = "ZOOID_STORE_TEST_DIR"

func helperProcess(dir string) int { return 0 }
