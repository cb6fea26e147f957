#!/bin/sh
# test_go.sh: go vet and go test of every Go module of ours below images/ and bench/, with the locked Go (GO=PATH takes another),
# else with the host's. Fails where there is no Go at all: make test asks for these tests.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

go=${GO:-$(.venv/bin/python scripts/locked_go.py || command -v go || true)}
[ -n "$go" ] || fail 1 "the Go unit tests cannot run: there is no Go" "scripts/locked_go.py says why"

export GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
failed=0
for file in $(find images bench -name go.mod -not -path '*/testdata/*' -not -path 'images/sdks/*' | sort); do
    folder=$(dirname "$file")
    # Some folders only name the module of a program that others wrote.
    if [ -z "$(find "$folder" -name '*.go')" ]; then continue; fi
    # A cgo program needs the locked compilers: the sealed build compiles it, the engine tests run it.
    if grep -qs '^cgo: true' "$folder/backend.yaml"; then continue; fi
    (cd "$folder" && "$go" vet ./... && "$go" test ./...) || failed=1
done
exit "$failed"
