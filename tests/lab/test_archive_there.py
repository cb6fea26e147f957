"""The one file on a stranger's machine: no registry, no image, cgroup v2, another number of CPUs.

Made here, it is verified, run again and compared there with one command, and again with ``rerun.sh`` and Docker alone;
an archive that is made there is verified here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import ROOT
from tests.support.lab import PLACE, Machine
from toolkit.verify.run import Question, verify
from toolkit.verify.stages.signature import Expected

pytestmark = pytest.mark.timeout(1800)
Json = dict[str, Any]
_SHORT = ("--workload", "embed-512", "--cpus", "0", "--duration", "4", "--warmup", "1", "--timing-gates", "record")
_SLOW = ("--arm", "rate_hz=5")
_STRANGER = f"{PLACE}/stranger"


def here(*words: str) -> str:
    """The command on this machine."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words], cwd=ROOT, check=False, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def parcel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an archive, signed, and its author's public key."""
    place = tmp_path_factory.mktemp("parcel")
    made = tmp_path_factory.mktemp("made")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(made / "key")], check=True)
    runs = ("--runs", str(made / "runs"))
    here("launch", "--sdk", "go-openai", "--baseline", *_SHORT, *_SLOW, "--wait", "900", *runs)
    here("archive", "last", *runs, "-o", str(place / "a.tar.zst"), "--key", str(made / "key"))
    (place / "author.pub").write_bytes((made / "key.pub").read_bytes())
    return place


@pytest.fixture(scope="module")
def stranger(machine: Machine, parcel: Path) -> Iterator[Machine]:
    """A machine with the archive, no image, and no way out but the tests' own; other tests get it back with one."""
    machine.ssh(f"mkdir -p {_STRANGER}")
    machine.push(parcel, _STRANGER)
    route = machine.ssh("ip route show default | head -n 1").stdout.strip()
    machine.ssh("docker images -q | sort -u | xargs -r docker rmi -f; ip route del default || true")
    assert machine.ssh("docker images -q").stdout == ""
    yield machine
    if route:
        machine.ssh(f"ip route add {route}")


def test_it_is_verified_run_again_and_compared_with_one_command(stranger: Machine) -> None:
    words = f"rerun {_STRANGER}/a.tar.zst --signer {_STRANGER}/author.pub --runs {_STRANGER}/runs"
    document = stranger.document(words, REPRO_STORE=f"{_STRANGER}/store")
    assert (document["author"], document["valid"], document["judgement"]) == ("verified", True, "not judged")
    assert [one for one in document["differences"] if one["meaning"] == "blocking"] == []
    what = {one["what"] for one in document["differences"]}
    assert {"host cgroup_version", "host environment_key", "placement"} <= what
    cell = next(one for one in document["cells"] if one["id"].startswith("go-openai/"))
    assert "error.rate" in cell["metrics"]
    assert "lat.send.p50_seconds" not in cell["metrics"], "times of two machines do not compare"
    assert cell["ratios"]


def test_plain_docker_and_a_shell_do_it_too(stranger: Machine) -> None:
    stranger.ssh("docker images -q | sort -u | xargs -r docker rmi -f")
    unpack = f"mkdir -p {_STRANGER}/open && zstd -dc {_STRANGER}/a.tar.zst | tar -x -C {_STRANGER}/open"
    stranger.ssh(unpack if stranger.ssh("command -v zstd", check=False).returncode == 0 else _unpack_by_us())
    stranger.ssh(f"cd {_STRANGER}/open && PATH=/usr/bin:/bin:/usr/sbin:/sbin sh rerun.sh --out {_STRANGER}/plain")
    run = stranger.ssh(f"ls -d {_STRANGER}/plain/*").stdout.split()[0]
    document = stranger.document(f"show {run}")
    assert (document["valid"], document["grade"]) == (True, "D")
    values = [cell["metrics"]["qps.ok_hz"]["value"] for cell in document["cells"]]
    assert len(values) == 2
    assert all(value > 0 for value in values)


def _unpack_by_us() -> str:
    """Where the machine has no zstd: Python's does it (the tool's environment has one)."""
    script = (
        "import sys, zstandard; "
        f"zstandard.ZstdDecompressor().copy_stream(open('{_STRANGER}/a.tar.zst', 'rb'), sys.stdout.buffer)"
    )
    python = f"{PLACE}/sealbench/.venv/bin/python"
    return f'mkdir -p {_STRANGER}/open && {python} -c "{script}" | tar -x -C {_STRANGER}/open'


def test_an_archive_made_there_verifies_here(stranger: Machine, tmp_path: Path) -> None:
    launch = f"launch --sdk net-http {' '.join((*_SHORT, *_SLOW))} --runs {_STRANGER}/mine"
    stranger.document(launch)
    stranger.ssh(f"mkdir -p {_STRANGER}/out")
    options = f"--runs {_STRANGER}/mine -o {_STRANGER}/out/b.tar.zst --without inputs"
    told = stranger.document(f"archive last {options}")
    stranger.pull(f"{_STRANGER}/out", tmp_path)
    found = verify(Question(tmp_path / "b.tar.zst", sha256=told["sha256"]))
    assert (found.verdict, found.author) == ("verified", "unsigned"), json.dumps(found.to_json())[-2000:]
    assert verify(Question(tmp_path / "b.tar.zst", signers=Expected([]))).verdict == "unsafe"
