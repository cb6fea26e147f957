#!/bin/sh
# test_go.sh: go vet and go test of every Go module of ours below images/, with the locked Go where it is in the store
# already, else with the host's. Without any Go this is not run, and says so; REPRO_REQUIRE_GO=1 makes that a failure.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

go=${GO:-$(command -v go || true)}
if [ -z "$go" ]; then
    say "NOT RUN: Go unit tests: there is no go here"
    [ "${REPRO_REQUIRE_GO:-0}" != 1 ]
    exit
fi

# One module's dependencies at a time, one core: this runs beside the measuring of others.
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
failed=0
for file in $(find images -name go.mod -not -path '*/testdata/*' -not -path 'images/sdks/*' | sort); do
    folder=$(dirname "$file")
    (cd "$folder" && "$go" vet ./... && "$go" test ./...) || failed=1
done
exit "$failed"
