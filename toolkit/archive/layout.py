"""What an archive is made of: the names, words and limits that writer and verifier share.

An archive is a tar of regular files, canonical ustar headers, in one zstd frame. ``archive.json`` is its first member
and lists every other one but the signature, which comes second::

    archive.json  archive.json.sig  README.md  rerun.sh  run/  images/  inputs/  sbom.spdx.json  provenance.json
"""

from __future__ import annotations

SCHEMA = "repro.archive/1"
SCHEMA_VERSION = 1

INDEX = "archive.json"
SIGNATURE = "archive.json.sig"
README = "README.md"
RERUN = "rerun.sh"
RERUN_PLAN = "rerun/plan.json"
RERUN_SETUP = "rerun/setup.json"
RUN = "run/"
RUN_MANIFEST = "run/manifest.json"
IMAGES = "images/"
IMAGES_INDEX = "images/index.json"
IMAGES_LAYOUT = "images/oci-layout"
IMAGES_LEGACY = "images/manifest.json"
BLOBS = "images/blobs/sha256/"
INPUTS = "inputs/"
INPUTS_INDEX = "inputs/inputs.json"
INPUT_BLOBS = "inputs/sha256/"
SBOM = "sbom.spdx.json"
PROVENANCE = "provenance.json"
LICENCES = "licences/"

PARTS = ("images", "inputs")
"""What ``--without`` may leave out."""

NAMESPACE = "archive@sealbench.org"
"""The namespace of the signature (SSHSIG): a signature over other bytes for another purpose is none here."""

FILE_MODE = 0o644
PROGRAM_MODE = 0o755

# Limits of what a verifier is ready to read. A writer that would exceed one says so before it writes.
MAX_MEMBERS = 100_000
MAX_INDEX_BYTES = 32 * 1024**2
MAX_DOCUMENT_BYTES = 32 * 1024**2
MAX_SIGNATURE_BYTES = 64 * 1024
MAX_TOTAL_BYTES = 1 << 40
MAX_DEPTH = 16
MAX_COMPONENT_BYTES = 255
MAX_WINDOW_BYTES = 32 * 1024**2
"""zstd's window at level 10 is 4 MiB; what wants more wants memory that a verifier does not give."""

MAX_RATIO = 500
RATIO_FREE_BYTES = 512 * 1024**2
"""Beyond so much content, an archive that grew more than ``MAX_RATIO`` times is a bomb."""

LEVEL = 10
"""zstd level: 44.7 MB of 170 MB in 4.8 s where level 3 gives 51.1 MB and 19 takes 160 s (measured on two CPUs)."""


def blob(digest: str) -> str:
    """Where the image blob of a ``sha256:<hex>`` digest lies."""
    return BLOBS + digest.removeprefix("sha256:")
