#!/bin/sh
# setup.sh [runtime|dev] [engine]: makes .venv with the newest working Python >= 3.11 found by name and installs the
# pinned requirements; with "engine" it also sees to it that a container engine answers. Harmless and fast the second
# time. Exit 4 with the commands to type where something is missing that it may not install. Never stops a daemon.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

level=${1:-runtime}
case $level in runtime | dev) ;; *) fail 2 "unknown level '$level'" "scripts/setup.sh runtime | dev [engine]" ;; esac

NAMES="python3.14 python3.13 python3.12 python3.11 python3"
WORKS='import sys, ssl, venv; sys.exit(sys.version_info < (3, 11))'

# A name that exists may still not work: a pyenv shim of a version that is not chosen, or a broken alternative.
works() { "$1" -c "$WORKS" >/dev/null 2>&1; }
has_pip() { "$1" -c 'import ensurepip' >/dev/null 2>&1; }

find_python() {
    bare=
    for name in $NAMES; do
        works "$name" || continue
        if has_pip "$name"; then
            echo "$name"
            return
        fi
        bare=${bare:-$name}
    done
    [ -n "$bare" ] || return 0
    # Debian splits ensurepip from the interpreter.
    number=$("$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    may_install || fail 4 "$bare lacks ensurepip" "sudo apt-get install -y python$number-venv" "then run this again"
    install_packages "python$number-venv" || install_packages python3-venv || true
    has_pip "$bare" || fail 4 "$bare lacks ensurepip" "apt-get install -y python3-venv" "then run this again"
    echo "$bare"
}

no_python() {
    found=$(python3 -c 'import sys; print("python3 is %d.%d" % sys.version_info[:2])' 2>/dev/null || echo "there is no python3")
    fail 4 "no working Python >= 3.11 ($found)" \
        "Debian 12, Ubuntu 24.04 or newer: sudo apt-get install -y python3 python3-venv" \
        "older systems: install pyenv or uv, then: pyenv install 3.12 && pyenv global 3.12, or: uv python install 3.12" \
        "then run this again"
}

# What decides whether .venv is current: the pins, the metadata of the entry point, and this checkout's place.
stamp() { { cat "requirements/$level.txt" pyproject.toml scripts/setup.sh; pwd; } | sha256sum | cut -d' ' -f1; }

current() {
    [ -x .venv/bin/python ] && [ -x .venv/bin/repro ] || return 1
    wanted=$(stamp)
    # The development environment holds all of the runtime one.
    for file in .venv/stamp-"$level" .venv/stamp-dev; do
        [ "$level" = runtime ] && [ "$file" = .venv/stamp-dev ] && wanted=$(level=dev && stamp)
        [ -r "$file" ] && [ "$(cat "$file")" = "$wanted" ] && return 0
    done
    return 1
}

make_environment() {
    python=$(find_python)
    [ -n "$python" ] || no_python
    say "setup: $("$python" --version) ($python), level $level"
    # Cleared, so that nothing of another Python or of an older set of pins stays behind.
    "$python" -m venv --clear .venv
    pip="$PWD/.venv/bin/python -m pip --quiet --disable-pip-version-check"
    $pip install --require-hashes --no-deps --prefer-binary -r "requirements/$level.txt"
    $pip install --no-deps --no-build-isolation --no-index --editable .
    # Where PYTHONDONTWRITEBYTECODE is set nothing else would, and each command would compile our sources anew.
    .venv/bin/python -m compileall -q toolkit
    stamp >".venv/stamp-$level"
}

exec 9>.setup.lock
if command -v flock >/dev/null 2>&1; then flock 9; fi
current || make_environment
[ "${2:-}" != engine ] || sh scripts/engine.sh
