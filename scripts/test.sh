#!/bin/sh
# test.sh TIER...: the checks, then pytest with the given tiers, each required. pytest's closing line comes last.
# PYTEST_ARGS adds options. The exit code is pytest's, or 1 when only a check failed.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

python=.venv/bin/python
failed=

check() {
    name=$1
    shift
    if "$@" >&2; then say "ok: $name"; else failed="$failed $name"; fi
}

# A gap between two tiers' folders is not "no tests": an empty tier is named.
folders=
required=
for tier in "$@"; do
    if [ -n "$(find "tests/$tier" -name 'test_*.py' 2>/dev/null | head -n 1)" ]; then
        folders="$folders tests/$tier"
        required="$required --require $tier"
    else
        say "TIER WITHOUT TESTS: $tier"
    fi
done

if [ "${CHECKS:-yes}" = yes ]; then
    check lint $python -m ruff check --quiet .
    check format $python -m ruff format --quiet --check .
    check types $python -m mypy --no-error-summary
    check go sh scripts/test_go.sh
fi

code=0
# shellcheck disable=SC2086
$python -m pytest $folders $required ${PYTEST_ARGS:-} || code=$?
if [ "$code" = 5 ]; then
    say "no test was collected: that is no success"
    exit 5
fi
[ "$code" = 0 ] || exit "$code"
[ -z "$failed" ] || {
    say "failed before the tests:$failed"
    exit 1
}
