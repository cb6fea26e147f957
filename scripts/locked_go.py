"""Prints the path of the locked Go, fetched and unpacked in the content store if it is not there yet."""

from __future__ import annotations

import sys

from toolkit.errors import ReproError
from toolkit.fetch import inputs
from toolkit.fetch.store import Store
from toolkit.lock import read_lock


def main() -> int:
    """Print the path; 1 with the reason on stderr when it cannot be had."""
    try:
        store, lock = Store.open(), read_lock().toolchain
        tar = inputs.fetch_toolchain(store, lock, offline=False, report=lambda text: print(text, file=sys.stderr))
        print(inputs.unpacked_go(store, tar, lock.tar_sha256))
    except ReproError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
