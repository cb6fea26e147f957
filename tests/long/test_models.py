"""The synthetic models, read by the formats' neutral readers: installed here, no dependency of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.build import targets
from toolkit.build.images import Build, BuildOptions
from toolkit.catalogue.parts import synthetic_models
from toolkit.engine.docker import DockerEngine
from toolkit.fetch.store import Store

pytestmark = pytest.mark.timeout(1800)
READERS = ("gguf", "numpy", "onnx", "onnxruntime", "tokenizers")
CHECK = Path(__file__).with_name("read_models.py")


@pytest.fixture(scope="module")
def models(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models as the sealed build writes them."""
    folder = tmp_path_factory.mktemp("models")
    made = Build(engine, Store.open(), BuildOptions(), lambda _: None).outputs(targets.models_target())
    for output, blob in made.items():
        place = folder / output.removeprefix("models/")
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(blob)
    assert set(synthetic_models()) == {path.name for path in folder.iterdir()}
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the readers."""
    folder = tmp_path_factory.mktemp("readers") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    subprocess.run([*pip, *READERS], check=True)
    return folder / "bin" / "python"


def test_neutral_readers_find_what_is_promised(python: Path, models: Path) -> None:
    done = subprocess.run([str(python), str(CHECK), str(models)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    chat, embed, vision, encoder = (found[name] for name in ("chat.gguf", "embed.gguf", "vision.gguf", "encoder"))
    assert (chat["architecture"], chat["width"], chat["layers"], chat["context"]) == ("llama", 256, 2, 8192)
    assert (embed["width"], embed["pooling"]) == (768, 1)
    assert vision["projection"] == chat["width"]
    assert all(one["finite"] for one in (chat, embed, vision))
    assert encoder == {"tokens": 512, "shape": [1, 512, 768], "finite": True, "padding_changes": 0.0}
