# Zooid's tasks. `make` lists them.

GO        ?= go
# Inputs tried by each fuzz target in `make test`. A count and not a time:
# it is the same work on every machine, and nothing fails for being slow.
FUZZ      ?= 10000x
# What `make bench` runs, as a regular expression over benchmark names.
BENCH     ?= .
BENCHTIME ?= 1s
STATICCHECK = $(GO) tool -modfile=tools/go.mod staticcheck

.DEFAULT_GOAL := help
.PHONY: help build test lint fmt fuzz drill bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the static binary ./zooid
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o zooid ./cmd/zooid

test: lint fuzz ## what CI runs: lint, short fuzzing, all tests under the race detector
	@$(GO) test -count=1 -v -run '^TestBinaryBudget$$' .
	$(GO) test -race -timeout 20m ./...
	@# The mistakes that are built in on purpose: the simulator must find each.
	$(GO) test -count=1 -tags defects -run '^TestDefects$$' ./integration/sim

lint: ## gofmt, vet and staticcheck (pinned in tools/go.mod)
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

fmt: ## format all Go files
	gofmt -w .

fuzz: ## run every fuzz target for FUZZ inputs (make fuzz FUZZ=5m for a long one)
	@grep -rHE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . | sort \
	| sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*)\(.*|\1 \2|' \
	| while read -r dir target; do \
		echo "fuzz $$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) -fuzzminimizetime 100x "$$dir" >.fuzz.out 2>&1 \
		|| { cat .fuzz.out; rm -f .fuzz.out; exit 1; }; \
	done; status=$$?; rm -f .fuzz.out; exit $$status

drill: ## the long drills: crashes, partitions, real clients, many seeds
	ZOOID_DRILL=1 $(GO) test -count=1 -timeout 6h -v ./integration/...

bench: ## print the benchmarks (BENCH=regexp, BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...
