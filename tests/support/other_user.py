"""A throw-away user in the docker group, without root, with an own checkout and an own copy of the images."""

from __future__ import annotations

import grp
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_NEEDED = ("useradd", "userdel", "setpriv", "docker")


@dataclass(frozen=True)
class OtherUser:
    """Commands as that user. ``home`` is a folder of theirs that other users may look into."""

    name: str
    home: Path
    python: str
    library: str

    def command(self, *arguments: str, **environment: str) -> tuple[list[str], Mapping[str, str]]:
        """The words and the environment of a ``repro`` command of that user."""
        become = ["setpriv", "--reuid", self.name, "--regid", self.name, "--init-groups", "--inh-caps=-all"]
        clients = ("PIP_", "GO", "http", "HTTP", "no_proxy", "NO_PROXY")
        settings = {
            **{name: value for name, value in os.environ.items() if name.startswith(clients)},
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{self.home / 'checkout'}:{self.library}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "REPRO_STORE": str(self.home / "store"),
            **environment,
        }
        return [*become, self.python, "-m", "toolkit", *arguments], settings

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Begin a command in their home."""
        words, settings = self.command(*arguments, **environment)
        pipe = subprocess.PIPE
        return subprocess.Popen(words, cwd=self.home, env=settings, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str, **environment: str) -> tuple[int, dict[str, Any], str]:
        """One command to its end: exit code, its object, its words."""
        process = self.start(*arguments, **environment)
        out, words = process.communicate(timeout=850)
        return process.returncode, json.loads(out) if out else {}, words

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """A shell command as that user."""
        words = ["setpriv", "--reuid", self.name, "--regid", self.name, "--init-groups", "sh", "-c", script]
        return subprocess.run(words, cwd=self.home, capture_output=True, text=True, check=False, timeout=300)


def why_not() -> str:
    """Why there can be no such user here; empty when there can."""
    if os.geteuid() != 0:
        return "needs root: makes a user"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}"
    try:
        grp.getgrnam("docker")
    except KeyError:
        return "there is no group docker"
    return "" if _public_python() else "no Python of this version that another user could run"


def _public_python() -> str:
    """A Python of our version outside of root's own folders: this one may be in them."""
    short = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in ("/usr/bin", "/usr/local/bin"):
        path = Path(folder, short)
        if path.exists() and not Path(os.path.realpath(path)).is_relative_to("/root"):
            return str(path)
    return ""


@contextmanager
def other_user() -> Iterator[OtherUser]:
    """Make the user, a readable checkout and library; remove all of it afterwards."""
    name = f"repro-{uuid.uuid4().hex[:8]}"
    home = Path(tempfile.mkdtemp(prefix="ru", dir="/tmp"))
    subprocess.run(["useradd", "--no-create-home", "--home-dir", home, "-G", "docker", name], check=True)
    try:
        for part in ("toolkit", "images", "templates"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, home / "checkout" / part, symlinks=True, ignore=ignored)
        library = home / "library"
        shutil.copytree(sysconfig.get_path("purelib"), library, symlinks=True)
        subprocess.run(["chown", "-R", "-h", f"{name}:{name}", str(home)], check=True)
        home.chmod(0o755)
        yield OtherUser(name, home, _public_python(), str(library))
    finally:
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)
        shutil.rmtree(home)
