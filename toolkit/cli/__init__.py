"""``repro``: one file per command, each parses, calls the core, renders, and returns an exit code.

This is the only layer that exits the process. Heavy libraries (docker, grpc, httpx, numpy) are imported inside
commands: ``repro --help`` loads none of them, and a test says so.
"""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Entry point of the ``repro`` command."""
    for stream in (sys.stdout, sys.stderr):
        # A letter that the terminal's encoding lacks (a path on an old console, LC_ALL=C) is escaped, never a crash.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from toolkit.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before a command began, or by a third Ctrl-C: nothing more is awaited
        print("repro: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
