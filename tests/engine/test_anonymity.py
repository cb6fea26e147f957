"""Nothing in a run or its archive names the machine, its user or its engine: every byte of it and of ``--json`` is
searched.
"""

from __future__ import annotations

import io
import json
import os
import pwd
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import psutil
import pytest
import zstandard

from tests.support.canaries import own_names
from tests.support.faults_tool import ROOT, Tool, quick
from toolkit.engine.docker import DockerEngine
from toolkit.engine.port import LABEL_OWNER_PID
from toolkit.fetch.store import store_root

pytestmark = pytest.mark.timeout(600)
HOST = "canary-host-5be1"
USER = "canary-user-5be1"
MAIL = "canary-5be1@example.org"
SHORTEST = 6


def addresses() -> dict[str, str]:
    """Network and hardware addresses of this machine, except those that every machine has."""
    found = {}
    for name, entries in psutil.net_if_addrs().items():
        for entry in entries:
            address = entry.address.split("%")[0].lower()
            if address not in ("127.0.0.1", "::1", "00:00:00:00:00:00"):
                found[f"address of {name} {address}"] = address
    return found


def identities() -> dict[str, str]:
    """What Linux and the engine call this machine."""
    found = {"boot id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), **own_names()}
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if Path(path).exists():
            found[path] = Path(path).read_text().strip()
    info = json.loads(
        subprocess.run(["docker", "info", "--format", "{{json .}}"], capture_output=True, check=True).stdout
    )
    found |= {
        "engine id": info["ID"],
        "engine's folder": info["DockerRootDir"],
    }
    return found


def variants(value: str) -> set[str]:
    """The ways in which the same thing may be written."""
    return {value, value.lower(), value.upper(), value.replace(":", ""), value.replace("-", "")}


def hits(where: str, data: bytes, canaries: dict[str, str]) -> list[str]:
    """Which canaries occur in some bytes, as text or as raw bytes of a hexadecimal one."""
    found = []
    for name, value in canaries.items():
        needles = {one.encode() for one in variants(value)}
        digits = re.sub(r"[:-]", "", value)
        if re.fullmatch(r"[0-9a-fA-F]{12,}", digits) and len(digits) % 2 == 0:
            needles.add(bytes.fromhex(digits))
        if any(_holds(data, needle) for needle in needles):
            found.append(f"{name} in {where}")
    return found


def _holds(data: bytes, needle: bytes) -> bool:
    if len(needle) >= SHORTEST:
        return needle in data
    # A host may be called "vm": then only the word counts, and only in text.
    return (
        b"\0" not in data
        and re.search(rb"(?<![A-Za-z0-9_-])" + re.escape(needle) + rb"(?![A-Za-z0-9_-])", data) is not None
    )


def test_132_145_146_no_byte_of_a_run_names_where_it_was_made(tmp_path: Path, tool: Tool, engine: DockerEngine) -> None:
    home = tmp_path / "canary-home-5be1"
    home.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REPRO_")},
        **dict.fromkeys(("USER", "LOGNAME"), USER),
        **dict.fromkeys(("EMAIL", "GIT_AUTHOR_EMAIL"), MAIL),
        "HOME": str(home),
        "HOSTNAME": HOST,
        "REPRO_STORE": str(store_root()),
        "REPRO_LANES": str(tmp_path / "lanes"),
        "TMPDIR": str(tool.short),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "toolkit", *quick("--duration", "12")]
    with (tmp_path / "stdout").open("wb") as stdout, (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=stdout, stderr=stderr)
    canaries = {
        "host": HOST,
        "user": USER,
        "mail": MAIL,
        "home": home.name,
        "working folder": str(tmp_path),
        "checkout": str(ROOT),
        "login": pwd.getpwuid(os.geteuid()).pw_dir + "/",
        "socket": str(tool.short),
        **identities(),
        **addresses(),
    }
    while process.poll() is None:
        for one in engine.owned():
            if one.labels[LABEL_OWNER_PID] == str(process.pid):
                canaries |= {f"container {one.id}": one.id, f"container {one.id[:12]}": one.id[:12]}
        time.sleep(0.5)
    assert process.returncode == 0, (tmp_path / "stderr").read_text()
    document = json.loads((tmp_path / "stdout").read_text())
    assert sum(name.startswith("container ") for name in canaries) >= 4
    run = home / document.pop("path")
    found = hits("--json", json.dumps(document).encode(), canaries)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"manifest.json", "journal.pb", "result.json"} <= {path.name for path in files}
    for path in files:
        found += hits(
            path.relative_to(run).as_posix(), path.read_bytes() + str(path.relative_to(run)).encode(), canaries
        )
    found += archived(run, tmp_path, environment, canaries)
    assert found == []


def archived(run: Path, place: Path, environment: dict[str, str], canaries: dict[str, str]) -> list[str]:
    """Which canaries occur in any member of the run's archive, its names, its signature or what the command says.

    The key has a comment that names its owner.
    """
    key, target = place / "canary-key-5be1", place / "a.tar.zst"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{USER}@{HOST}", "-f", str(key)]
    subprocess.run(make, check=True, env=environment)
    words = ["archive", str(run), "-o", target.name, "--key", str(key), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words], cwd=place, env=environment, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    found = hits("archive --json", done.stdout, {**canaries, "key": key.name})
    data = zstandard.ZstdDecompressor().decompressobj().decompress(target.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            # What Debian, Go and others published cannot name this machine; it was fetched by digest.
            if not member.name.startswith("inputs/sha256/"):
                found += hits(member.name, member.name.encode() + stream.read(), {**canaries, "key": key.name})
    return found


def test_the_search_would_find_them() -> None:
    canaries = {"id": "0123456789ab", "name": HOST}
    assert hits("x", b"..0123456789AB..", canaries) == ["id in x"]
    assert hits("x", bytes.fromhex("ff0123456789abff"), canaries) == ["id in x"]
    assert hits("x", b"at canary-host-5be1.", canaries) == ["name in x"]
    assert hits("x", b'{"host": "vm"}', {"name": "vm"}) == ["name in x"]
    assert hits("x", b'{"host": "vmware"}', {"name": "vm"}) == []
