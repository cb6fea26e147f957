"""How anything is said: data on stdout, talk on stderr, JSON where asked, colour only on a terminal.

The one object of this module is made by ``toolkit.cli`` and handed down; nothing else prints.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any, TextIO

from toolkit.errors import ReproError


@dataclass
class Output:
    """Where words go. ``json_mode`` puts versioned objects on stdout; ``quiet`` drops talk but never errors."""

    json_mode: bool = False
    quiet: bool = False
    verbose: bool = False
    stdout: TextIO = sys.stdout
    stderr: TextIO = sys.stderr

    @property
    def live(self) -> bool:
        """Whether progress may redraw: stderr is a terminal and nobody asked for JSON or quiet."""
        return self.stderr.isatty() and not self.json_mode and not self.quiet and "CI" not in os.environ

    def talk(self, text: str) -> None:
        """Say something about the work, on stderr."""
        if not self.quiet:
            print(text, file=self.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Say something only with ``-v``."""
        if self.verbose and not self.quiet:
            print(text, file=self.stderr, flush=True)

    def data(self, text: str) -> None:
        """Print what was asked for, on stdout, when not in JSON mode."""
        if not self.json_mode:
            print(text, file=self.stdout, flush=True)

    def document(self, value: dict[str, Any]) -> None:
        """Print the versioned object, on stdout, in JSON mode."""
        if self.json_mode:
            # Elsewhere than in UTF-8 a letter may have to be escaped, and JSON has its own way to do that.
            ascii_only = (getattr(self.stdout, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"
            print(json.dumps(value, indent=2, sort_keys=False, ensure_ascii=ascii_only), file=self.stdout, flush=True)

    def document_line(self, value: dict[str, Any]) -> None:
        """Print a versioned object on one line, on stdout, in JSON mode: for commands that report while they go on."""
        if self.json_mode:
            print(json.dumps(value), file=self.stdout, flush=True)

    def error(self, error: ReproError) -> None:
        """Text on stderr; with ``--json`` also ``repro.error/1`` on stdout."""
        print(f"repro: {error.title}", file=self.stderr)
        if error.cause:
            print(f"  why: {error.cause}", file=self.stderr)
        if error.remedy:
            print(f"  do:  {error.remedy}", file=self.stderr)
        self.stderr.flush()
        self.document(error_document(error))


def error_document(error: ReproError) -> dict[str, Any]:
    """``repro.error/1``."""
    return {
        "schema": "repro.error/1",
        "code": error.exit_code,
        "title": error.title,
        "cause": error.cause,
        "remedy": error.remedy,
    }
