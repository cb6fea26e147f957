#!/usr/bin/env bash
# Makes requirements/*.txt: one resolution for all our Pythons, with hashes and without index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet)
# A folder of extra wheels on somebody's machine must not end in a lock that others use.
unset PIP_FIND_LINKS UV_FIND_LINKS
uv pip compile "${flags[@]}" "$@" pyproject.toml requirements/build.in --output-file requirements/runtime.txt
uv pip compile "${flags[@]}" "$@" pyproject.toml requirements/build.in requirements/dev.in \
  --constraint requirements/runtime.txt --output-file requirements/dev.txt
