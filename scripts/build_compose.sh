#!/bin/sh
# build_compose.sh [OUTPUT]: builds docker compose, as a plugin of the docker command, from its Go module, and prints the
# folder to use as DOCKER_CONFIG. About two minutes and 400 MB the first time, nothing after that.
#
# The module is brought by the user's own Go settings (proxy, certificates) and held to the hash below. The locked
# toolchain compiles it; GO=/path/to/go takes another one. Used by tests/engine/test_compose.py.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

module=github.com/docker/compose/v2
version=v2.40.3
sum='h1:XeYkQu1svDtyfZPv5nTwFryQ25ZJMkIlc4pz9HalMPI='

python=${PYTHON:-.venv/bin/python}
output=${1:-$(PYTHONPATH=. "$python" -c 'from toolkit.fetch.store import Store; print(Store.open().root)')/tools/compose-$version}
plugin=$output/cli-plugins/docker-compose
if [ -x "$plugin" ]; then
    printf '%s\n' "$output"
    exit 0
fi

go=${GO:-$(PYTHONPATH=. "$python" scripts/locked_go.py)}
[ -x "$go" ] || fail 2 "there is no go command at $go" "GO=/path/to/go sh scripts/build_compose.sh"

mkdir -p "$output/cli-plugins"
work=$(mktemp -d "$output/build.XXXXXX")
# A module cache is read-only.
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export GOMODCACHE="$work/mod" GOCACHE="$work/cache" GOTOOLCHAIN=local GOWORK=off GOTELEMETRY=off CGO_ENABLED=0

say "build_compose: fetching $module@$version"
"$go" mod download -json "$module@$version" >"$work/module.json"
found=$("$python" -c 'import json, sys; row = json.load(open(sys.argv[1])); print(row["Sum"], row["Dir"])' "$work/module.json")
[ "${found%% *}" = "$sum" ] || fail 1 "$module@$version is not what was pinned: ${found%% *}, expected $sum"

# go builds a main package of a module only from inside it, and the cache is read-only.
cp -r "${found#* }" "$work/src"
chmod -R u+w "$work/src"
say "build_compose: compiling (about two minutes)"
(
    cd "$work/src"
    GOFLAGS="-mod=readonly -trimpath -buildvcs=false" nice -n 10 "$go" build -p 1 \
        -ldflags "-s -w -X $module/internal.Version=$version" -o "$work/docker-compose" ./cmd
) >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    fail 1 "$module@$version was not built" "see above; GO=/path/to/go takes another Go, at least 1.24.9"
}
mv "$work/docker-compose" "$plugin"
printf '%s\n' "$output"
