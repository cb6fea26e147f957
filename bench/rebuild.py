"""How long trying an edit of a pure Go SDK's adapter takes: ``repro build`` beside a plain ``go test -c``.

Ours compiles in the hardened container with no network, assembles the image, computes its identity and loads it into
the engine. The peer is the host's own ``go test -c`` by the same Go with the same flags on the same sources, its caches
warm: no container, no image, nothing verified. Each round makes an edit that was never seen before and that the program
keeps. The entry is a copy in a catalogue of its own; what the rounds made is removed from the engine. Builds of other
commands on the same store are waited for, so nothing else may build meanwhile.

    python bench/rebuild.py [--rounds 10]
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, Goal, Report, environment, finish, interleave, paired_difference, quantile
from gobuild import compile_go, locked_go, unpack

from toolkit.build import targets
from toolkit.catalogue import load_catalogue

GOAL_SECONDS = 10.0
SDK = "go-openai"
ENTRY = "rebuilt-go-openai"
EDIT = """
//go:noinline
func edited(text string) {{
	if text == "" {{
		println(text)
	}}
}}

func init() {{ edited("{mark}") }}
"""


class Edited:
    """The SDK's adapter in a catalogue of its own, edited anew before every build."""

    def __init__(self, folder: Path) -> None:
        self.catalogue = folder / "catalogue"
        self._entry = self.catalogue / "sdks" / ENTRY
        shutil.copytree(load_catalogue().sdk(SDK).folder, self._entry)
        description = (self._entry / "sdk.yaml").read_text()
        (self._entry / "sdk.yaml").write_text(without_aliases(description).replace(f"id: {SDK}\n", f"id: {ENTRY}\n", 1))
        self._original = (self._entry / "adapter.go").read_text()
        self._peer = unpack(targets.sdk_target(load_catalogue(self.catalogue).sdk(ENTRY)), folder / "peer")
        self._program = folder / "workload"
        self._go = locked_go()
        self._marks = (f"{time.time_ns()}-{number}" for number in itertools.count())
        self.references: set[str] = set()

    def _edit(self, place: Path) -> None:
        (place / "adapter.go").write_text(self._original + EDIT.format(mark=next(self._marks)))

    def ours(self) -> float:
        """Seconds of ``repro build`` after an edit."""
        self._edit(self._entry)
        command = [sys.executable, "-m", "toolkit", "build", "--sdk", ENTRY, "--json"]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--catalogue", str(self.catalogue)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        passed = time.monotonic() - began
        if done.returncode != 0:
            raise SystemExit(f"the build ended with {done.returncode}: {done.stderr[-2000:]}")
        made = {image["reference"] for image in json.loads(done.stdout)["images"] if image["id"] == ENTRY}
        if not made - self.references:
            raise SystemExit("the edit made no new image")
        self.references |= made
        return passed

    def peer(self) -> float:
        """Seconds of ``go test -c`` after an edit."""
        self._edit(self._peer)
        began = time.monotonic()
        compile_go(self._go, self._peer, self._program, ["test", "-c"])
        return time.monotonic() - began

    def remove_images(self) -> None:
        """From the engine, what the rounds made."""
        if self.references:
            subprocess.run(["docker", "image", "rm", *self.references], stdout=subprocess.DEVNULL, check=True)


def without_aliases(description: str) -> str:
    """An alias belongs to one entry: the copy has none."""
    lines, kept, skipping = description.splitlines(keepends=True), [], False
    for line in lines:
        skipping = line.startswith("aliases:") or (skipping and line.startswith((" ", "-")))
        if not skipping:
            kept.append(line)
    return "".join(kept)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Rebuilding one pure Go SDK after an edit of its adapter.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    before = environment()
    with tempfile.TemporaryDirectory(prefix="sealbench-rebuild-") as name:
        edited = Edited(Path(name))
        try:
            arms = {"repro build": edited.ours, "go test -c": edited.peer}
            samples = interleave(arms, rounds=options.rounds, seed=options.seed)
        finally:
            edited.remove_images()
    p50, p95 = (functools.partial(quantile, q=q) for q in (0.5, 0.95))
    over = paired_difference(samples["repro build"], samples["go test -c"])
    middle = p50(samples["repro build"])
    report = Report(
        name="rebuild",
        title="Rebuilding a pure Go SDK after an edit of its adapter",
        command=f"python bench/rebuild.py --rounds {options.rounds}",
        columns=["command", "n", "p50 s", "p95 s"],
        rows=[[arm, options.rounds, f"{p50(values):.2f}", f"{p95(values):.2f}"] for arm, values in samples.items()],
        goals=[Goal(f"{SDK}, repro build", "at most 10 s", f"{middle:.2f} s", middle <= GOAL_SECONDS)],
        notes=[
            "`repro build`: interpreter, compile in a hardened container, image assembled, identified and loaded.",
            "`go test -c`: the same Go, flags and sources on the host, caches warm; no container, no image.",
            "Over the peer: {:+.2f} s ({:+.2f} to {:+.2f}).".format(*over),
        ],
        samples={f"{arm}_seconds": [round(value, 4) for value in values] for arm, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
