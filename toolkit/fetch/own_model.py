"""A model file of the user's own (``--model FILE.gguf``): hashed, so that a manifest can name it by its bytes."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit.canonical import sha256_file
from toolkit.errors import InputMismatch, UsageError
from toolkit.model.plan import ModelFile

_MAGIC = b"GGUF"  # the first four bytes (ggml's docs/gguf.md)
_SAFE = re.compile(r"[^A-Za-z0-9._-]")


def read_model(path: Path) -> ModelFile:
    """Name, digest and size. Raises UsageError when it cannot be read or is no GGUF file."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
        if magic != _MAGIC:
            raise UsageError(
                f"--model {path} is not a GGUF file", f"it begins with {magic!r}", "give a model in GGUF format"
            )
        # The name goes into manifests: nothing but plain characters, and never its folder.
        return ModelFile(_SAFE.sub("_", path.name)[:80], sha256_file(path), path.stat().st_size)
    except OSError as problem:
        raise UsageError(
            f"--model {path} cannot be read", problem.strerror or str(problem), "check the path"
        ) from problem


def require_model(path: Path | None, wanted: ModelFile) -> Path:
    """The file of a re-run: the same bytes, wherever it lies now. Raises UsageError, InputMismatch."""
    if path is None:
        raise UsageError(
            "this run used a model of the user's own",
            f"{wanted.name}, sha256 {wanted.sha256}, {wanted.size_bytes} bytes; runs do not hold such files",
            "give it again with --model FILE",
        )
    found = read_model(path)
    if found.sha256 != wanted.sha256:
        raise InputMismatch(
            f"--model {path} is not the model of this run",
            f"expected sha256 {wanted.sha256}, found {found.sha256}",
            "give the file that the run used",
        )
    return path
