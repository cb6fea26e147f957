"""Brings the golden files below ``compose/`` up to date, deliberately: a test compares them byte by byte.

    python scripts/update_compose.py            # builds the images if need be, writes, says what changed
    python scripts/update_compose.py --check    # writes nothing; exit code 1 when a file differs

The compose files name images by content, so a change of the agent, the harness, an SDK's lock or the base changes them.
The containers are those of a machine with two CPUs and one memory node (measured CPU 0), whatever this machine is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from toolkit.build.images import BuildOptions, ensure_images
from toolkit.catalogue import load_catalogue
from toolkit.cli.render import cells, placement
from toolkit.engine.docker import connect
from toolkit.errors import ReproError
from toolkit.fetch.store import Store
from toolkit.render.project import built_images, cell_folder, project, state_of, write_project

ROOT = Path(__file__).resolve().parents[1] / "compose"


def say(text: str) -> None:
    """Talk goes to stderr."""
    print(text, file=sys.stderr)


def update(root: Path, *, check: bool) -> int:
    """Write every project, or only compare; the number of files that differ from what was there."""
    catalogue, engine, store = load_catalogue(), connect(), Store.open()
    # A relocked base is this machine's own: its images are not everybody's.
    options = BuildOptions(allow_relock=False)
    wanted: set[Path] = set()
    changed = 0
    for cell, choice in cells(catalogue, None, None, placement("")):
        built = ensure_images(
            engine, catalogue, sdk=choice.sdk, backend=choice.backend, store=store, options=options, report=say
        )
        folder = cell_folder(root, cell)
        files = project(cell, choice, built_images((built.sdk, built.backend)))
        for name, data in files.items():
            state = state_of(folder / name, data)
            changed += state != "same"
            shown = state if check or state == "same" else "written"
            print(f"{shown:8}{(folder / name).relative_to(root.parent)}")
        wanted |= {folder / name for name in files}
        if not check:
            write_project(folder, files)
    for path in sorted(path for path in root.glob("*/*") if path not in wanted):
        print(f"{'extra':8}{path.relative_to(root.parent)}")
        changed += 1
        if not check:
            path.unlink()
    return changed


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Bring compose/ up to date.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    check = parser.parse_args().check
    try:
        changed = update(ROOT, check=check)
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
