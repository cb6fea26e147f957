"""`repro archive` beside ``docker save | zstd``, `repro verify` beside ``zstd -d | sha256sum``, and what both need of
memory as the content grows.

A run is made first (a few seconds, the null SDK and one more), with the store that is configured. Each arm works on
the same images: ``docker save`` of the run's images through ``zstd`` of the same level and as many threads; for the
whole archive the stored inputs are put behind the images in one tar. The verifier's in-process part is measured in the
same run of the command, from the file's opening to the last check; what the interpreter takes to start and to import is
the rest. For memory the run's inputs are replaced by incompressible bytes in a store of its own.

    python bench/archive.py [--rounds 7] [--megabytes 30 300 1024] [--run RUN]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import ROOT, Goal, Report, environment, finish, interleave, paired_ratio, quantile

from toolkit.archive import layout
from toolkit.archive.make import contents
from toolkit.fetch.store import Store
from toolkit.launch.folder import resolve_run

ARCHIVE_GOAL, VERIFY_GOAL, MEMORY_GOAL_MIB, SIZE_SLACK = 1.2, 1.5, 150.0, 1.01
THREADS = max(1, min(4, len(os.sched_getaffinity(0))))
"""As many as the archive's writer takes (toolkit/archive/pack.py)."""
MIB = 1024**2
FLAT_MIB = 64.0
"""More than the smallest peak by no more than this counts as flat: zstd fills its buffers once, and keeps them."""
ARCHIVE_IMAGES, SAVE_IMAGES = "repro archive --without inputs", "docker save, zstd"
ARCHIVE_ALL, SAVE_ALL = "repro archive", "docker save and inputs, zstd"
VERIFY, VERIFY_INSIDE = "repro verify --through images", "the same, in process"
SUM, START = "zstd -d, sha256sum", "repro verify --help (start and imports alone)"
IN_PROCESS = """
import sys, time
from pathlib import Path
from toolkit.verify.run import Question, verify
import toolkit.verify.stages.images, toolkit.verify.stages.manifest, jsonschema, zstandard
began = time.monotonic()
found = verify(Question(Path(sys.argv[1]), through=5))
print(time.monotonic() - began if found.verdict == "verified" else found)
"""
ARCHIVE_OF_RANDOM_INPUTS = """
import sys
from pathlib import Path
import toolkit.archive.make as make
from toolkit.archive.inputs import Input, input_members
from toolkit.cli.app import run
from toolkit.fetch.store import Store
folder, digests = Store.open(Path(sys.argv[1])), sys.argv[4:]
inputs = [Input("archive", f"random-{n}", "1", f"random-{n}.bin", one) for n, one in enumerate(digests)]
make.inputs_of = lambda lock: inputs
make.input_members = lambda store, wanted: input_members(folder, wanted)
sys.exit(run(["archive", sys.argv[2], "-o", sys.argv[3]]))
"""
"""The real command, but for where its inputs come from."""


class Bench:
    """One run, its images in the engine, its inputs in the store, and a folder for what is made."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.folder, self.run, self.store = folder, run, Store.open(None)
        made = contents(resolve_run(run.parent, run.name), self.store)
        self.references = [image["reference"] for image in made.index["images"]]
        self.inputs = [one for one in made.members if one.path.startswith(layout.INPUT_BLOBS)]
        self.input_bytes = sum(one.size_bytes for one in self.inputs)
        self.sizes: dict[str, int] = {}
        self.verified = folder / "verified.tar.zst"
        self._repro("archive", str(run), "-o", str(self.verified))
        self.verified_bytes = self.verified.stat().st_size
        self.content_bytes = sum(one.size_bytes for one in made.members) - self.input_bytes

    def _repro(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", *words], cwd=self.folder, env=_environment(), capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"repro {words[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def archive(self, *more: str) -> float:
        """Seconds of the command."""
        target = self.folder / "ours.tar.zst"
        target.unlink(missing_ok=True)
        taken = timed(lambda: self._repro("archive", str(self.run), "-o", str(target), *more))
        self.sizes["ours" + "".join(more)] = target.stat().st_size
        return taken

    def saved(self, *, inputs: bool) -> float:
        """Seconds of ``docker save`` (and the inputs) through zstd, to the disk as the archive is."""
        target = self.folder / "peer.tar.zst"
        images = f"docker save {' '.join(self.references)}"
        listed = self.folder / "inputs.txt"
        listed.write_text("\n".join(str(one.source) for one in self.inputs))
        more = f"tar -cPf - -T {listed}" if inputs else "true"
        script = f"({images}; {more}) | zstd -q -f -{layout.LEVEL} -T{THREADS} -o {target} && sync {target}"
        taken = timed(lambda: shell(script))
        self.sizes["peer+inputs" if inputs else "peer"] = target.stat().st_size
        return taken

    def verify(self) -> float:
        """Seconds of the command."""
        return timed(lambda: self._repro("verify", str(self.verified), "--through", "images"))

    def verify_in_process(self) -> float:
        """Seconds from the opening to the last check, in a process that has everything imported."""
        done = subprocess.run(
            [sys.executable, "-c", IN_PROCESS, str(self.verified)], env=_environment(), capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return float(done.stdout)

    def unpacked(self) -> float:
        """Seconds of the peer."""
        return timed(lambda: shell(f"zstd -q -d -c {self.verified} | sha256sum"))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def shell(script: str) -> None:
    """Run a pipe of which every part must succeed."""
    subprocess.run(["bash", "-o", "pipefail", "-c", script], stdout=subprocess.DEVNULL, check=True)


def timed(work: Callable[[], object]) -> float:
    """Seconds of it."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def run_of_our_own(folder: Path) -> Path:
    """A short run of one SDK beside the null SDK."""
    command = [
        sys.executable, "-m", "toolkit", "launch", "--sdk", "go-openai", "--baseline", "--workload", "embed-512",
        "--cpus", "0", "--duration", "2", "--warmup", "1", "--timing-gates", "record", "--wait", "600", "--runs",
        str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    found = sorted(one for one in folder.glob("*") if (one / "manifest.json").is_file())
    if not found:
        raise SystemExit(f"the launch ended with {done.returncode}: {done.stderr[-2000:]}")
    return found[-1]


def peak_mib(command: Sequence[str]) -> float:
    """The most memory that a command held, in MiB (getrusage of the child, by GNU time's way: wait4)."""
    child = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[3:5]} ended with {child.returncode}")
    return usage.ru_maxrss / 1024


def grown(bench: Bench, megabytes: int) -> tuple[int, float, float, float]:
    """Bytes of content, and the peak MiB of archive, of verify, and of ``zstd -t``, with so much content."""
    folder = bench.folder / f"grown-{megabytes}"
    folder.mkdir()
    target = folder / "grown.tar.zst"
    digests = _random_inputs(folder, max(0, megabytes * MIB - bench.content_bytes))
    python = [sys.executable, "-c", ARCHIVE_OF_RANDOM_INPUTS]
    wrote = peak_mib([*python, str(folder / "store"), str(bench.run), str(target), *digests])
    read = peak_mib([sys.executable, "-m", "toolkit", "verify", str(target), "--through", "images"])
    peer = peak_mib(["zstd", "-q", "-t", str(target)])
    size = target.stat().st_size
    shutil.rmtree(folder)
    return size, wrote, read, peer


def _random_inputs(folder: Path, left: int) -> list[str]:
    """Digests of incompressible blobs in a store of their own, of so many bytes together."""
    store, digests = Store.open(folder / "store"), []
    while left > 0:
        path, state, size = folder / "blob", hashlib.sha256(), min(left, 256 * MIB)
        with path.open("wb") as stream:
            for start in range(0, size, MIB):
                piece = os.urandom(min(MIB, size - start))
                stream.write(piece)
                state.update(piece)
        digests.append(state.hexdigest())
        store.add_file(path, digests[-1], path.name)
        path.unlink(missing_ok=True)
        left -= size
    return digests


def timed_arms(bench: Bench, rounds: int, seed: int) -> dict[str, list[float]]:
    """All arms of the two comparisons, interleaved."""
    without = ("--without", "inputs")
    arms: dict[str, Callable[[], float]] = {
        ARCHIVE_IMAGES: lambda: bench.archive(*without),
        SAVE_IMAGES: lambda: bench.saved(inputs=False),
        ARCHIVE_ALL: bench.archive,
        SAVE_ALL: lambda: bench.saved(inputs=True),
        VERIFY: bench.verify,
        VERIFY_INSIDE: bench.verify_in_process,
        SUM: bench.unpacked,
        START: lambda: timed(lambda: shell(f"{sys.executable} -m toolkit verify --help")),
    }
    return interleave(arms, rounds=rounds, seed=seed)


def ratio_row(samples: dict[str, list[float]], ours: str, peer: str) -> tuple[float, str]:
    """The median of the paired ratios, and its words."""
    middle, low, high = paired_ratio(samples[ours], samples[peer])
    return middle, f"{middle:.2f} ({low:.2f} to {high:.2f})"


def goals(
    bench: Bench, samples: dict[str, list[float]], memory: Sequence[tuple[int, int, float, float, float]]
) -> list[Goal]:
    """The goals of the issue."""
    found = [
        _ratio_goal(samples, ARCHIVE_IMAGES, SAVE_IMAGES, ARCHIVE_GOAL),
        _ratio_goal(samples, ARCHIVE_ALL, SAVE_ALL, ARCHIVE_GOAL),
        _ratio_goal(samples, VERIFY, SUM, VERIFY_GOAL),
        _ratio_goal(samples, VERIFY_INSIDE, SUM, VERIFY_GOAL),
    ]
    ours, peer, full = (bench.sizes[name] for name in ("ours--withoutinputs", "peer", "ours"))
    allowed = int((peer + bench.input_bytes) * SIZE_SLACK)
    found += [
        Goal("bytes of an archive without inputs", f"at most {peer}", str(ours), ours <= peer),
        Goal("bytes of a whole archive", f"at most {allowed}", str(full), full <= allowed),
    ]
    for what, column, limit in (("archive", 2, None), ("verify", 3, MEMORY_GOAL_MIB)):
        peaks = [row[column] for row in memory]
        flat = max(peaks) - min(peaks) <= FLAT_MIB and (limit is None or max(peaks) <= limit)
        wanted = f"flat (within {FLAT_MIB:.0f} MiB)" + (f", at most {limit:.0f} MiB" if limit is not None else "")
        found.append(Goal(f"peak memory of {what}", wanted, ", ".join(f"{peak:.0f}" for peak in peaks) + " MiB", flat))
    return found


def _ratio_goal(samples: dict[str, list[float]], ours: str, peer: str, most: float) -> Goal:
    middle, words = ratio_row(samples, ours, peer)
    return Goal(f"{ours} / {peer}", f"at most {most:g}", words, middle <= most)


def rows(
    samples: dict[str, list[float]], memory: Sequence[tuple[int, int, float, float, float]]
) -> list[list[str | float | int]]:
    """The table: times, then memory."""
    table: list[list[str | float | int]] = [
        [arm, len(values), f"{quantile(values, 0.5):.2f} s", f"{quantile(values, 0.95):.2f} s"]
        for arm, values in samples.items()
    ]
    for megabytes, size, wrote, read, peer in memory:
        for what, peak in (("archive", wrote), ("verify", read), ("zstd -t", peer)):
            table.append(
                [
                    f"peak memory, {what}, {megabytes} MiB of content ({size / MIB:.0f} MiB file)",
                    1,
                    f"{peak:.0f} MiB",
                    "",
                ]
            )
    return table


def notes(bench: Bench) -> list[str]:
    """How to read the table."""
    content, inputs, file = (one / MIB for one in (bench.content_bytes, bench.input_bytes, bench.verified_bytes))
    same = f"both sides zstd level {layout.LEVEL} with {THREADS} threads, and the bytes on the disk at the end."
    verified = (
        f"Verified: the whole archive, {file:.0f} MiB. The command counts the interpreter's start and all imports;"
        " in process is from the opening of the file to the last check of stage 5, imports done."
        " It digests the file's own bytes as well as the content, and reads the headers in every layer."
    )
    memory = (
        "Memory: the most that was resident (getrusage). The inputs are random bytes;"
        " where the images alone are more than the size that was asked for, there are none."
    )
    images = f"{len(bench.references)} images and their run, {content:.0f} MiB, and {inputs:.0f} MiB of inputs: {same}"
    sizes = (
        "Size: the archive holds the run's own files besides the images, which `docker save` does not,"
        " and has to make room for them."
    )
    return [images, verified, memory, sizes]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Archive and verify beside docker save, zstd and sha256sum.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[30, 300, 1024])
    parser.add_argument("--run", type=Path, help="a sealed run (default: one is made)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    before = environment()
    with tempfile.TemporaryDirectory(prefix="sealbench-archive-") as name:
        folder = Path(name)
        bench = Bench(folder, (options.run or run_of_our_own(folder / "runs")).resolve())
        samples = timed_arms(bench, options.rounds, options.seed)
        memory = [(one, *grown(bench, one)) for one in options.megabytes]
    sizes = " ".join(map(str, options.megabytes))
    report = Report(
        name="archive",
        title="Archiving and verifying beside docker save, zstd and sha256sum",
        command=f"python bench/archive.py --rounds {options.rounds} --megabytes {sizes}",
        columns=["arm", "n", "p50", "p95"],
        rows=rows(samples, memory),
        goals=goals(bench, samples, memory),
        notes=notes(bench),
        samples={f"{arm}_seconds": [round(value, 4) for value in values] for arm, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
