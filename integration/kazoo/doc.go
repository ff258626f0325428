// Package kazoo holds the drill with the Python client library, unmodified:
// kazoo 2.11.0 with its operations, watches, transactions and recipes.
//
//	go test ./integration/kazoo
//	ZOOID_TEST_TARGET=java go test ./integration/kazoo
//
// The program is testdata/kazoo_suite.py; it reports a line a check, which
// arrives here as a subtest.
package kazoo
