"""The load generators that ours is held against: fetched by the host's own clients, compiled here, kept between runs.

fortio and ghz are Go modules, installed by module path and version with the locked Go; wrk is Debian's package,
unpacked beside them and not installed. They lie in a folder below the temporary one and are used again while their
versions are those written here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import progress

# Not the newest fortio: the command of v1.75.3 needs a module that not every proxy serves.
FORTIO = ("fortio.org/fortio", "v1.68.0")
GHZ = ("github.com/bojand/ghz/cmd/ghz", "v0.120.0")
WRK_PACKAGES = ("wrk", "libluajit-5.1-2")


@dataclass(frozen=True)
class Peers:
    """Programs. ``wrk`` is None, with the reason in ``without_wrk``, where there is no apt or no such package."""

    fortio: Path
    ghz: Path
    wrk: Path | None
    wrk_libraries: str
    without_wrk: str


def fetch_peers(go: str) -> Peers:
    """All three. SystemExit with Go's words when a module cannot be fetched or compiled."""
    folder = Path(tempfile.gettempdir()) / "sealbench-peers"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} belongs to somebody else: its programs are not run")
    fortio, ghz = (install(go, module, version, folder) for module, version in (FORTIO, GHZ))
    reason = unpack_wrk(folder / "wrk")
    libraries = ":".join(str(path.parent) for path in sorted((folder / "wrk").glob("usr/lib/*/libluajit-5.1.so.2")))
    return Peers(fortio, ghz, None if reason else folder / "wrk" / "usr" / "bin" / "wrk", libraries, reason)


def install(go: str, module: str, version: str, folder: Path) -> Path:
    """``go install module@version`` into a folder of that version."""
    place = folder / f"{module.rsplit('/', 1)[1]}-{version}"
    program = place / module.rsplit("/", 1)[1]
    if program.is_file():
        return program
    progress(f"installing {module}@{version}")
    done = subprocess.run(
        ["nice", "-n", "5", go, "install", f"{module}@{version}"],
        env={**os.environ, "GOBIN": str(place), "GOFLAGS": "", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"go install {module}@{version}: {done.stderr[-2000:]}")
    return program


def unpack_wrk(folder: Path) -> str:
    """Empty when wrk lies in the folder, else why it cannot."""
    if (folder / "usr" / "bin" / "wrk").is_file():
        return ""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        return "this is no Debian"
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        # Readable for apt's own user, who writes the download.
        Path(name).chmod(0o777)
        fetched = subprocess.run(
            ["apt-get", "download", *WRK_PACKAGES], cwd=name, capture_output=True, text=True, check=False
        )
        if fetched.returncode != 0:
            return f"apt-get download: {fetched.stderr.strip().splitlines()[-1]}"
        for package in sorted(Path(name).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    return ""
