"""The words and values of a verification: checks, stages, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["verified", "differs", "tampered", "unsafe", "incomplete", "malformed", "unfit-host", "unknown"]
Author = Literal["verified", "unverified", "unsigned"]

SCHEMA = "repro.verify/1"
STAGES = ("bytes", "listing", "signature", "manifest", "content", "images", "policy", "host")
EXIT_CODES: Mapping[Verdict, int] = {
    "verified": 0,
    "differs": 1,
    "unfit-host": 3,
    "tampered": 6,
    "unsafe": 6,
    "incomplete": 6,
    "malformed": 6,
    "unknown": 8,
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what it should be, what it is."""

    what: str
    expected: str
    found: str
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/verify.schema.json``."""
        return {"what": self.what, "expected": self.expected, "found": self.found, "ok": self.ok}


class Refused(Exception):
    """A stage failed: its number, the verdict, and the check that decided. Ends the verification, never the program."""

    def __init__(self, stage: int, verdict: Verdict, what: str, expected: str = "", found: str = "") -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.stage = stage
        self.verdict: Verdict = verdict
        self.check = Check(what, expected, found, ok=False)


@dataclass
class Stage:
    """One stage and what it looked at."""

    n: int
    checks: list[Check] = field(default_factory=list)
    verdict: Verdict = "verified"

    @property
    def name(self) -> str:
        """Its name in the report."""
        return STAGES[self.n]

    def held(self, what: str, expected: str, found: str | None = None) -> None:
        """Note a check that held."""
        self.checks.append(Check(what, expected, expected if found is None else found, ok=True))

    def require(
        self, ok: bool, what: str, expected: str = "", found: str = "", *, verdict: Verdict = "tampered"
    ) -> None:
        """Note a check; raises Refused with ``verdict`` when it did not hold."""
        if not ok:
            raise Refused(self.n, verdict, what, expected, found)
        self.held(what, expected, found)

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/verify.schema.json``."""
        return {
            "n": self.n,
            "name": self.name,
            "verdict": self.verdict,
            "checks": [check.to_json() for check in self.checks],
        }


@dataclass(frozen=True)
class Verification:
    """What a verification came to. ``forecast`` is stage 7: it never changes the verdict.

    ``warnings`` are things a reviewer should know that are nobody's lie; ``differences`` are departures of what would
    be run from the isolation baseline.
    """

    verdict: Verdict
    author: Author
    stages: tuple[Stage, ...]
    archive: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    forecast: tuple[str, ...] = ()
    signer: str | None = None

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """``repro verify --json``."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "author": self.author,
            "signer": self.signer,
            "archive": dict(self.archive),
            "stages": [stage.to_json() for stage in self.stages],
            "warnings": list(self.warnings),
            "differences": list(self.differences),
            "forecast": list(self.forecast),
        }
