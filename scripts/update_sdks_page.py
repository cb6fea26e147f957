"""Writes docs/sdks.md from docs/sdks.json; with a run (``scripts/update_sdks_page.py runs/ID``) takes its data first.

``--check`` writes nothing and ends with 1 when the page is not what the data gives.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from toolkit.canonical import write_atomic
from toolkit.catalogue import load_catalogue
from toolkit.launch.folder import RunFolder
from toolkit.report.matrix import markdown, probe_document

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA, PAGE = DOCS / "sdks.json", DOCS / "sdks.md"


def page() -> bytes:
    """The page that the kept data gives."""
    return markdown(json.loads(DATA.read_text()), load_catalogue().sdks.values()).encode()


def main() -> int:
    """Take a run's data if one is named, then write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.run is not None and not options.check:
        document = {key: value for key, value in probe_document(RunFolder(options.run)).items() if key != "path"}
        write_atomic(DATA, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    if options.check:
        return 0 if PAGE.read_bytes() == page() else 1
    write_atomic(PAGE, page())
    print(PAGE.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
