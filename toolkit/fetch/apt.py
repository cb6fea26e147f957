"""Brings .deb files by the host's own apt: its sources, keys, proxies and certificates, but state and cache folders
of ours.

So neither root nor an earlier ``apt-get update`` is needed, and nothing on the host changes. apt only fetches and
checks
signatures; what it brought is compared with the lock by the caller.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from toolkit.errors import InputUnavailable
from toolkit.fetch.clients import Outcome, run

_FETCH_SECONDS = 300.0
_ATTEMPTS = 3

# The host's hooks (command-not-found, package kits) and extra indices are none of our business.
_CONFIG = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;
#clear Acquire::IndexTargets::deb::CNF;
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "amd64";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
"""


def resolved(said: str) -> list[str]:
    """``name=version`` of each line that ``apt-get --print-uris`` wrote: 'URI' name_version_arch.deb size hash."""
    names = (line.split()[1] for line in said.splitlines() if line.startswith("'"))
    parts = (unquote(name).split("_") for name in names)
    return [f"{part[0]}={part[1]}" for part in parts]


class Apt:
    """apt-get with private state below ``root`` (hold the store's ``apt`` lock while using it)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._updated = False

    @staticmethod
    def available() -> bool:
        return shutil.which("apt-get") is not None

    def knows(self, package: str, version: str) -> bool:
        """Whether a source lists this version."""
        return self._apt(["download", "--print-uris", f"{package}={version}"], self._root).ok

    def resolve(self, packages: Sequence[str]) -> list[str]:
        """``name=version`` of these packages and of all they need, as apt would install them on an empty system.

        Raises InputUnavailable.
        """
        self._update()
        arguments = ["install", "--print-uris", "--yes", "--no-install-recommends", *packages]
        outcome = self._apt(arguments, self._root)
        wishes = resolved(outcome.stdout.decode("utf-8", "replace"))
        if not outcome.ok or not wishes:
            raise InputUnavailable(
                f"apt cannot resolve {', '.join(packages)}", outcome.text, "check the host's package sources"
            )
        return wishes

    def suite(self) -> str:
        """The code name of the system whose sources these are, for the lock's reader."""
        try:
            lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        except OSError:
            return "unknown"
        return next(
            (line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME=")), "unknown"
        )

    def download_all(self, wanted: Sequence[str], folder: Path) -> list[Path]:
        """What could be had of ``name[=version]`` wishes; fewer files than wishes when a source lacks one.

        Raises InputUnavailable when there is no apt or no source answers at all.
        """
        self._update()
        folder.mkdir(exist_ok=True)
        before = set(folder.iterdir())
        outcome = self._apt(["download", *wanted], folder)
        if not outcome.ok and len(wanted) > 1:
            # One missing version fails the whole request before anything is fetched: ask one by one.
            for wish in wanted:
                self._apt(["download", wish], folder)
        return sorted(path for path in set(folder.iterdir()) - before if path.suffix == ".deb")

    def _update(self) -> None:
        if self._updated:
            return
        if not self.available():
            raise InputUnavailable(
                "This host has no apt-get",
                "the base image is made from Debian packages",
                "use --base IMAGE@sha256:..., or `repro fetch --from FILE`",
            )
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        (self._root / "state/status").touch()
        (self._root / "apt.conf").write_text(_CONFIG.format(root=self._root))
        outcome = self._apt(["update"], self._root)
        # A broken third-party source makes apt fail although Debian's own answered: judge by what there is.
        if not any("_Packages" in path.name for path in (self._root / "state/lists").iterdir()):
            raise InputUnavailable(
                "No package source answered", outcome.text, "check the network, the proxy and /etc/apt, then try again"
            )
        self._updated = True

    def _apt(self, arguments: list[str], cwd: Path) -> Outcome:
        env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "-q", "-c", str(self._root / "apt.conf"), *arguments]
        return run(
            command,
            env=env,
            cwd=cwd,
            timeout_seconds=_FETCH_SECONDS,
            attempts=_ATTEMPTS if arguments[0] == "update" else 1,
        )
