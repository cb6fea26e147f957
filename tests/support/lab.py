"""A throw-away machine as tests see it: commands, files, the product, and this project's own tests carried there."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACE = "/root/parcel"
CHECKOUT = f"{PLACE}/sealbench"
_COMMAND_SECONDS = 3000
Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One test that ran there. ``outcome``: passed, failed, error or skipped."""

    name: str
    outcome: str
    seconds: float
    words: str


@dataclass(frozen=True)
class Machine:
    """A machine that has the parcel at ``PLACE`` and an environment in its checkout. ``program`` reaches it."""

    program: str
    name: str

    def ssh(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A shell command there, as root."""
        ended = self._call("ssh", command)
        assert not check or ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def start(self, command: str) -> subprocess.Popen[str]:
        """Begin a shell command there."""
        pipe = subprocess.PIPE
        return subprocess.Popen([self.program, "ssh", self.name, command], stdout=pipe, stderr=pipe, text=True)

    def push(self, source: Path, target: str) -> None:
        """Copy a folder's content there."""
        assert self._call("push", f"{source}/", target).returncode == 0

    def pull(self, source: str, target: Path) -> None:
        """Copy a folder's content back."""
        assert self._call("pull", f"{source}/", f"{target}/").returncode == 0

    def repro(self, words: str, **environment: str) -> str:
        """The shell command that runs the product there."""
        settings = {"REPRO_STORE": f"{PLACE}/store", **environment}
        given = " ".join(f"{name}={value}" for name, value in settings.items())
        return f"cd {PLACE} && {given} sealbench/.venv/bin/repro {words}"

    def document(self, words: str, *, code: int = 0, **environment: str) -> Json:
        """What the product prints there, with ``--json``, as it ends with this exit code."""
        ended = self.ssh(self.repro(f"{words} --json", **environment), check=False)
        assert ended.returncode == code, f"exit {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        found: Json = json.loads(ended.stdout)
        return found

    def tests(self, what: str, options: str = "") -> list[Case]:
        """Run tests of this project there, each of them required; what became of each.

        The report is theirs, whatever pytest's exit code was; AssertionError when there is none.
        """
        report = f"{PLACE}/report.xml"
        command = (
            f"rm -f {report}; cd {CHECKOUT} && REPRO_STORE={PLACE}/store .venv/bin/python -m pytest {what} {options} "
            f"--require engine -p no:cacheprovider -q --tb=short --junitxml={report}"
        )
        ended = self.ssh(command, check=False)
        written = self.ssh(f"cat {report}", check=False)
        assert written.returncode == 0, f"{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}"
        return parse_report(written.stdout)

    def _call(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [self.program, verb, self.name, *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)


def parse_report(text: str) -> list[Case]:
    """The cases of a JUnit report, as pytest writes it."""
    cases = []
    for case in ET.fromstring(text).iter("testcase"):  # noqa: S314 - our own pytest wrote it
        bad = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcome = (
            {"failure": "failed", "error": "error", "skipped": "skipped"}[bad.tag] if bad is not None else "passed"
        )
        words = f"{bad.get('message') or ''}\n{bad.text or ''}" if bad is not None else ""
        cases.append(Case(case.get("name") or "", outcome, float(case.get("time") or 0), words))
    return cases
