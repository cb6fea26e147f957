"""What an adapter's source says of itself is what its sdk.yaml says. The sources are read, nothing is compiled.

That the program of a launch says the same is checked on an engine.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolkit.catalogue import load_catalogue
from toolkit.model.catalogue import SdkEntry

CATALOGUE = load_catalogue()
METHODS = {"chat-stream": "Stream", "chat-image": "StreamImage", "embed": "Embed", "similarity": "Search"}
each_sdk = pytest.mark.parametrize("sdk", CATALOGUE.sdks.values(), ids=list(CATALOGUE.sdks))


def _source(sdk: SdkEntry) -> str:
    folder: Path = sdk.folder / sdk.package
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.go")) if not path.name.endswith("_test.go"))


@each_sdk
def test_each_workload_listed_has_its_method_and_each_method_its_workload(sdk: SdkEntry) -> None:
    kinds = {CATALOGUE.workload(name).kind for name, _backends in sdk.workloads}
    source = _source(sdk)
    found = {
        kind for kind, name in METHODS.items() if re.search(rf"^func \(\w+ \*?\w+\) {name}\(", source, re.MULTILINE)
    }
    assert found == kinds


@each_sdk
def test_the_settings_moved_are_those_that_the_adapter_names(sdk: SdkEntry) -> None:
    literal = re.search(r"Moved: map\[string\]string\{(.*?)\}", _source(sdk), re.DOTALL)
    rows = re.findall(r'"([^"]+)":\s*("[^"]*")?', literal[1]) if literal else []
    listed = {row.setting: row.value for row in sdk.settings_moved}
    assert {name for name, _value in rows} == set(listed)
    # What is not written out, such as a number of threads, is known at run time only.
    assert all(listed[name] == value.strip('"') for name, value in rows if value)


@each_sdk
def test_an_adapter_reads_no_environment(sdk: SdkEntry) -> None:
    assert not re.search(r"\bos\.(Getenv|LookupEnv|Environ)\b", _source(sdk))
