"""The command as a program, in a folder of its own, and the eyes that look for what it may leave behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from toolkit.canonical import sha256_file
from toolkit.engine.port import LABEL_OWNER_PID, LABEL_RUN, Engine
from toolkit.schemas import validate

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "tests" / "engine" / "faults" / "catalogue"
MEASURED_SECONDS = 2
# Until a launch that is stopped in the middle would end by itself: far beyond the slowest machine's way to that moment.
LONG_SECONDS = 900
# Against what hangs. How long anything takes is nobody's promise: the first one of a new machine builds images, too.
END_SECONDS = 800.0
_POLL_SECONDS = 0.01
Json = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A command that is over. ``code`` is negative after a signal."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Json:
        """The one object on standard output."""
        value: Json = json.loads(self.stdout)
        return value

    @property
    def error(self) -> Json:
        """``repro.error/1``, by itself or within the report of a run."""
        document = self.document
        found: Json = document if document["schema"] == "repro.error/1" else document["error"]
        return found


@dataclass
class Running:
    """A command at work; what it says is in files, so that nothing blocks."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return (self.folder / "stderr").read_text(errors="replace")

    def say(self, text: str, seconds: float = END_SECONDS) -> None:
        """Wait until it has said this."""
        self.until(lambda: text in self.stderr, f"'{text}' to be said", seconds)

    def until(self, condition: Callable[[], object], what: str, seconds: float = END_SECONDS) -> None:
        """Wait for something while it works; fail with its own words when it ends first."""
        deadline = time.monotonic() + seconds
        while not condition():
            over = self.process.poll() is not None and not condition()
            assert not over, f"ended before {what}; it said:\n{self.stderr}"
            assert time.monotonic() < deadline, f"waited in vain for {what}; it said:\n{self.stderr}"
            time.sleep(_POLL_SECONDS)

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """``kill -9`` of the tool alone."""
        self.process.kill()

    def end(self, seconds: float = END_SECONDS) -> Ended:
        """Wait for its end."""
        self.process.wait(seconds)
        return Ended(self.process.returncode, (self.folder / "stdout").read_text(), self.stderr)


@dataclass
class Tool:
    """Commands of one test. Their locks, temporary folders and runs are the test's own, so that leftovers show."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    short: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ft", dir="/tmp")))
    runs: Path = field(init=False)
    started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runs = self.folder / "runs"

    def start(self, *arguments: str, **environment: str) -> Running:
        """Begin a command in a process group of its own."""
        place = self.folder / f"command-{len(self.started)}"
        place.mkdir()
        settings = {
            **{name: value for name, value in os.environ.items() if name not in ("XDG_RUNTIME_DIR", "REPRO_DEBUG")},
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.short),
            "REPRO_LANES": str(self.folder / "lanes"),
            "REPRO_RUNS": str(self.runs),
            **self.environment,
            **environment,
        }
        with (place / "stdout").open("wb") as stdout, (place / "stderr").open("wb") as stderr:
            # A shell that put the tests into the background made every child of theirs ignore SIGINT (sh(1), "&").
            process = subprocess.Popen(
                ["env", "--default-signal=INT", sys.executable, "-m", "toolkit", *arguments],
                cwd=self.folder,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        running = Running(process, place)
        self.started.append(running)
        return running

    def run(self, *arguments: str, **environment: str) -> Ended:
        """One command to its end."""
        return self.start(*arguments, **environment).end()

    def begin(self, *arguments: str, **environment: str) -> Running:
        """Begin a quick launch; later options win over the quick ones."""
        return self.start(*quick(*arguments), **environment)

    def launch(self, *arguments: str, **environment: str) -> Ended:
        """A quick launch to its end."""
        return self.begin(*arguments, **environment).end()

    def clean(self, **environment: str) -> Ended:
        """The next ``repro clean``, which must end well."""
        ended = self.run("clean", "--yes", "--json", **environment)
        assert ended.code == 0, ended
        return ended

    def end_all(self) -> None:
        """End what a failed test left at work."""
        for running in self.started:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait(300)

    def close(self, engine: Engine) -> None:
        """Remove what is left, by id, whatever the test came to."""
        for container in self.containers(engine):
            engine.remove(container.id)
        shutil.rmtree(self.short, ignore_errors=True)

    def only_run(self) -> Path:
        """The one run folder there is."""
        found = [path for path in self.runs.iterdir() if not path.name.startswith(".")]
        assert len(found) == 1, found
        return found[0]

    def wait_for_result(self, running: Running) -> Path:
        """Wait until an attempt has its result: from then on the run is being sealed. Returns the run."""
        running.until(lambda: list(self.runs.glob("*/attempts/*/*/result.json")), "a result")
        return self.only_run()

    def containers(self, engine: Engine) -> list[Any]:
        """Labelled containers that commands of this test made."""
        pids = {str(one.process.pid) for one in self.started}
        return [one for one in engine.owned(LABEL_RUN) if one.labels.get(LABEL_OWNER_PID) in pids]

    def leftovers(self, engine: Engine | None) -> list[str]:
        """Whatever is still there of commands that are over; empty when all is well."""
        found = [f"container {one.labels}" for one in (self.containers(engine) if engine else [])]
        found += [f"socket folder {path}" for path in self.short.glob("sb-*")]
        found += [f"held lock {path.name}" for path in self.folder.glob("lanes/*.lock") if _held(path)]
        found += [f"process of group {one.process.pid}" for one in self.started if _group(one.process.pid)]
        mounts = Path("/proc/self/mounts").read_text().split("\n")
        own = (str(self.folder), str(self.short))
        places = [line.split()[1] for line in mounts if line]
        found += [f"mount {place}" for place in places if place.startswith(own) and place != str(self.runs)]
        return found


def quick(*arguments: str) -> list[str]:
    """A short launch of go-openai on CPU 0 that waits for its lane; an option given again replaces the quick one."""
    options = {
        "--sdk": "go-openai",
        "--cpus": "0",
        "--duration": str(MEASURED_SECONDS),
        "--warmup": "1",
        "--timing-gates": "record",
        "--wait": "600",
    }
    for name in arguments[::2]:
        options.pop(name, None)
    return ["launch", "--json", *(word for pair in options.items() for word in pair), *arguments]


def misbehaving(way: str) -> list[str]:
    """Options that launch the fault catalogue's entry in one of its ways."""
    return ["--catalogue", str(CATALOGUE), "--sdk", "misbehaving", "--arm", f"godebug=misbehave={way}"]


def own_entry(folder: Path) -> list[str]:
    """Options for a copy of that entry whose sources nobody has compiled yet: a build that really takes its time."""
    catalogue = folder / "catalogue"
    shutil.copytree(CATALOGUE, catalogue)
    adapter = catalogue / "sdks" / "misbehaving" / "adapter.go"
    adapter.write_text(f"{adapter.read_text()}\n// {time.time_ns()}\n")
    return ["--catalogue", str(catalogue), "--sdk", "misbehaving"]


def check_said(ended: Ended, code: int, *words: str) -> None:
    """Exit code, text with a remedy, its JSON, no traceback; ``words`` stand somewhere in the text."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.stderr
    error = ended.error
    assert error["schema"] == "repro.error/1"
    assert error["code"] == code
    assert error["title"]
    assert error["remedy"]
    assert f"repro: {error['title']}" in ended.stderr
    assert f"do:  {error['remedy']}" in ended.stderr
    text = " ".join((error["title"], error["cause"], error["remedy"]))
    for word in words:
        assert word in text, (word, text)


def sealed_manifest(run: Path) -> Json:
    """The manifest of a sealed run, after checking the seal: digest, every file, nothing besides."""
    text = (run / "manifest.json").read_bytes()
    assert (run / "manifest.json.sha256").read_text().split() == [sha256(text).hexdigest(), "manifest.json"]
    manifest: Json = json.loads(text)
    validate(manifest, "manifest")
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert files == {*manifest["files"], "manifest.json", "manifest.json.sha256"}
    for name, listed in manifest["files"].items():
        assert sha256_file(run / name) == listed["sha256"], name
        assert (run / name).stat().st_mode & 0o022 == 0, name
    return manifest


def result_of(run: Path) -> Json:
    """The result of a run's only attempt."""
    paths = list(run.glob("attempts/*/*/result.json"))
    assert len(paths) == 1, paths
    result: Json = json.loads(paths[0].read_text())
    validate(result, "result")
    return result


def check_record(run: Path, *terminations: str, state: str = "complete") -> Json:
    """A sealed, invalid run whose only attempt ended with that word (or one of those); returns the result."""
    manifest = sealed_manifest(run)
    assert (manifest["state"], manifest["valid"]) == (state, False)
    result = result_of(run)
    assert result["termination"] in terminations, result["invalid"]
    assert not result["valid"]
    return result


def _held(path: Path) -> bool:
    with path.open("r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _group(group: int) -> list[int]:
    """The processes of a group that still run. A zombie does not: who reaps those of a killed parent may be late."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _parent, its_group, *_ = (entry / "stat").read_bytes().rpartition(b") ")[2].split()
            if int(its_group) == group and state not in (b"Z", b"X"):
                found.append(int(entry.name))
    return found
