"""Brings .deb files by the host's own apt: its sources, keys, proxies and certificates, but state and cache folders
of ours.

So neither root nor an earlier ``apt-get update`` is needed, and nothing on the host changes. apt only fetches and
checks signatures; what it brought is compared with the lock by the caller.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from toolkit.errors import InputUnavailable
from toolkit.fetch.clients import Outcome, run

_FETCH_SECONDS = 300.0
_ATTEMPTS = 3
_HELPER_FOLDER = "/usr/lib/apt"  # where Debian keeps apt-helper, off the PATH

_NOT_FOUND = re.compile(r"Version '([^']+)' for '([^']+)' was not found")

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


def unlisted(said: str) -> list[str]:
    """``name=version`` of each version that apt says no source lists."""
    return [f"{name}={version}" for version, name in _NOT_FOUND.findall(said)]


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
            self._download_what_there_is(list(wanted), outcome, folder)
        return sorted(path for path in set(folder.iterdir()) - before if path.suffix == ".deb")

    def _download_what_there_is(self, wanted: list[str], outcome: Outcome, folder: Path) -> None:
        """One missing version fails a whole request before anything is fetched: ask without those that apt named.

        Where it names none, one by one.
        """
        while not outcome.ok and (named := set(unlisted(outcome.text)) & set(wanted)):
            wanted = [wish for wish in wanted if wish not in named]
            if not wanted:
                return
            outcome = self._apt(["download", *wanted], folder)
        if not outcome.ok:
            for wish in wanted:
                self._apt(["download", wish], folder)

    def superseded(self, package: str, filename: str, sha256: str, folder: Path) -> Path | None:
        """A version that no index lists any more, from the pool folders of those that are listed; None if it is gone.

        Archives take a package out of their index at once and out of their pool days or months later (Debian's "stay
        of execution", in the manual of dak). apt's own downloader brings it and holds it against the digest.
        """
        helper = shutil.which("apt-helper", path=os.pathsep.join((os.environ.get("PATH", os.defpath), _HELPER_FOLDER)))
        if helper is None:
            return None
        folder.mkdir(exist_ok=True)
        target = folder / filename
        for place in self._pool_folders(package):
            arguments = ["download-file", f"{place}/{quote(filename)}", str(target), f"SHA256:{sha256}"]
            if self._run(helper, arguments, folder).ok and target.is_file():
                return target
        return None

    def _pool_folders(self, package: str) -> list[str]:
        """The URIs of the folders where the listed versions of a package lie, without doubles."""
        self._update()
        listed = self._run("apt-cache", ["madison", package], self._root).stdout.decode("utf-8", "replace")
        rows = [[part.strip() for part in line.split("|")] for line in listed.splitlines()]
        found: dict[str, None] = {}
        for version in dict.fromkeys(row[1] for row in rows if len(row) > 2 and row[0] == package):
            said = self._apt(["download", "--print-uris", f"{package}={version}"], self._root).stdout
            for line in said.decode("utf-8", "replace").splitlines():
                if line.startswith("'"):
                    found[line.split("'")[1].rpartition("/")[0]] = None
        return list(found)

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
        return self._run("apt-get", ["-q", *arguments], cwd, attempts=_ATTEMPTS if arguments[0] == "update" else 1)

    def _run(self, program: str, arguments: list[str], cwd: Path, *, attempts: int = 1) -> Outcome:
        env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        command = [program, "-c", str(self._root / "apt.conf"), *arguments]
        return run(command, env=env, cwd=cwd, timeout_seconds=_FETCH_SECONDS, attempts=attempts)
