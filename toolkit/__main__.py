"""``python -m toolkit`` is ``repro``."""

from toolkit.cli import main

main()
