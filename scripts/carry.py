"""Packs what another machine needs to launch without compiling or fetching: sources, images (as store), wheels.

    .venv/bin/python scripts/carry.py /tmp/parcel --sdk go-openai --python 3.11
    rsync -a /tmp/parcel/ other:parcel/           # or any other way to copy a folder
    other$ cd parcel/sealbench && PIP_NO_INDEX=1 PIP_FIND_LINKS=../wheels make setup
    other$ REPRO_STORE=$HOME/parcel/store make launch

Images travel as the store keeps them, layers by digest: the other machine assembles and loads them and compares the
engine's view with the digests, so nothing is trusted on the way. docs/hosts.md shows it in use.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from toolkit.build.foundation import base_inputs
from toolkit.build.images import recall_images
from toolkit.build.records import IMAGES, recall
from toolkit.catalogue import load_catalogue
from toolkit.errors import ReproError, UsageError
from toolkit.fetch.store import Store
from toolkit.lock import read_lock

# What a machine needs beside the runtime to run our tests: pytest, its one plugin, and theirs.
TEST_PACKAGES = ("iniconfig", "packaging", "pluggy", "pygments", "pytest", "pytest-timeout")
_PACKAGE = re.compile(r"^(?P<name>[a-z0-9-]+)==", re.MULTILINE)

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Pack; 1 with the reason on stderr when something that is to travel does not exist here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to; made if need be")
    parser.add_argument("--sdk", action="append", help="SDKs whose images travel (default: go-openai)")
    parser.add_argument("--python", default="", help="the other machine's Python, such as 3.11 (default: no wheels)")
    parser.add_argument("--level", default="dev", choices=("runtime", "dev"), help="which requirements the wheels fill")
    parser.add_argument("--catalogue", type=Path, help="a folder of your own entries, for --sdk")
    parser.add_argument("--tests", action="store_true", help="with --python: what running tests needs, too")
    parser.add_argument("--no-sources", action="store_true", help="the other machine has the sources already")
    parser.add_argument("--no-images", action="store_true", help="the other machine has the images already")
    told = parser.parse_args(arguments)
    try:
        if not told.no_sources:
            pack_sources(told.folder / "sealbench")
        if not told.no_images:
            pack_images(told.folder / "store", told.sdk or ["go-openai"], told.catalogue)
        if told.python:
            pack_wheels(told.folder / "wheels", told.python, ROOT / "requirements" / f"{told.level}.txt")
        if told.python and told.tests:
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
                chosen.write(chosen_requirements(TEST_PACKAGES))
                chosen.flush()
                pack_wheels(told.folder / "wheels", told.python, Path(chosen.name))
    except ReproError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def pack_sources(target: Path) -> None:
    """Every tracked file as it is in this checkout, uncommitted changes included: images depend on these bytes."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in listing.decode().split("\0") if name and (ROOT / name).exists()]
    copied = BytesIO()
    with tarfile.open(fileobj=copied, mode="w") as archive:
        for name in names:
            archive.add(ROOT / name, name)
    copied.seek(0)
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=copied) as archive:
        archive.extractall(target, filter="data")


def pack_images(target: Path, sdks: Iterable[str], entries: Path | None = None) -> None:
    """The records and layers of the images of these SDKs and of the backends they are launched with."""
    here, there, catalogue = Store.open(), Store.open(target), load_catalogue(entries)
    wanted = {base_inputs(read_lock().base)}
    for name in sdks:
        sdk = catalogue.sdk(name)
        backend = catalogue.backend(sdk.workloads[0][1][0])
        found = recall_images(here, sdk=sdk, backend=backend)
        if found is None:
            raise UsageError(
                f"the images of {name} are not in the store", "they were never built here", f"repro build --sdk {name}"
            )
        wanted |= {image.inputs_digest for image in found if image is not None}
    for key in sorted(wanted):
        row = recall(here, key)
        record = here.record(IMAGES, key)
        if row is None or record is None:
            raise UsageError("an image is not in the store", key, "repro build")
        for layer in row[1].layers:
            if not there.has(layer.name):
                there.add_bytes(layer.read_bytes(), layer.name, f"a layer of {row[0].reference}")
        there.put_record(IMAGES, key, record)
        print(f"carry: {row[0].reference}", file=sys.stderr)


def chosen_requirements(names: Iterable[str], pins: Path = ROOT / "requirements" / "dev.txt") -> str:
    """These packages' lines of the pinned requirements, hashes included; UsageError for one that is not pinned."""
    text = pins.read_text(encoding="utf-8")
    begins = [*_PACKAGE.finditer(text)]
    ends = [*(begin.start() for begin in begins[1:]), len(text)]
    blocks = {begin["name"]: text[begin.start() : end] for begin, end in zip(begins, ends, strict=True)}
    missing = [name for name in names if name not in blocks]
    if missing:
        raise UsageError(f"{', '.join(missing)} is not pinned", f"not in {pins.name}", "add it, then: make pins")
    return "".join(blocks[name] for name in names)


def pack_wheels(target: Path, python: str, requirements: Path) -> None:
    """Wheels for another Python on x86-64 Linux, checked against the hashes of the requirements."""
    short = python.replace(".", "")
    generations = ("2014", "_2_17", "_2_28", "_2_34", "2010", "_2_12", "1", "_2_5")
    platforms = [f"manylinux{name}_x86_64" for name in generations]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(target)),
            *("--require-hashes", "--no-deps", "--only-binary=:all:"),
            *("-r", str(requirements)),
            *("--implementation", "cp", "--python-version", python, "--abi", f"cp{short}", "--abi", "abi3"),
            *("--abi", "none", *(word for name in platforms for word in ("--platform", name)), "--platform", "any"),
        ],
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())
