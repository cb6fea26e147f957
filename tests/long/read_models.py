"""Reads the synthetic models with gguf, onnx, onnxruntime and tokenizers, and prints what it found as JSON.

Run by ``test_models.py`` in a Python that has these packages: ``python read_models.py FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import onnxruntime
import tokenizers

PADDING = 3


def read_gguf(path: Path) -> dict[str, Any]:
    """Every tensor is decoded; the keys are those that loaders ask for."""
    reader = gguf.GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    tensors = [gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors]
    return {
        "architecture": values["general.architecture"],
        "width": values.get("llama.embedding_length"),
        "layers": values.get("llama.block_count"),
        "context": values.get("llama.context_length"),
        "pooling": values.get("llama.pooling_type"),
        "projection": values.get("clip.vision.projection_dim"),
        "finite": all(bool(np.isfinite(tensor).all()) for tensor in tensors),
    }


def read_encoder(folder: Path) -> dict[str, Any]:
    """A text of 510 listed words fills all 512 positions; padding must not change the vectors of the others."""
    onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    words = sorted(word for word in tokenizer.get_vocab() if len(word) == 4 and word.isalpha())

    def run(inputs: dict[str, Any]) -> Any:
        return session.run(None, inputs)[0]

    def inputs(text: str) -> dict[str, Any]:
        found = tokenizer.encode(text)
        rows = {"input_ids": found.ids, "attention_mask": found.attention_mask, "token_type_ids": found.type_ids}
        return {name: np.array([row]) for name, row in rows.items()}

    longest = inputs(" ".join(words[:510]))
    vectors = run(longest)
    short = inputs(" ".join(words[:8]))
    padded = {name: np.pad(value, ((0, 0), (0, PADDING))) for name, value in short.items()}
    difference = np.abs(run(padded)[:, :-PADDING] - run(short)).max()
    return {
        "tokens": len(longest["input_ids"][0]),
        "shape": list(vectors.shape),
        "finite": bool(np.isfinite(vectors).all()),
        "padding_changes": float(round(difference, 5)),
    }


def main(folder: Path) -> None:
    """Print all."""
    found = {path.name: read_gguf(path) for path in sorted(folder.glob("*.gguf"))}
    print(json.dumps({**found, "encoder": read_encoder(folder / "encoder")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
