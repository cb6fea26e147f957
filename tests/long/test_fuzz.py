"""Every parser of a stranger's bytes, fed changed inputs for a stated time: it reads or refuses, and never breaks.

What breaks one is kept in ``tests/fixtures/fuzz`` and read in every later run of the tests.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.simulated.test_hostile import read_honest
from tests.support.archives import author
from tests.support.fuzzed import Fuzzed, described, keep, mutated

SECONDS = float(os.environ.get("REPRO_FUZZ_SECONDS", "60")) / 2
SEED = int(os.environ.get("REPRO_FUZZ_SEED", str(time.time_ns())))
PARSERS = (
    "json", "yaml", "signature", "signers", "layer", "transport", "tar", "index", "compose", "seccomp", "plan", "lock",
    "bundle", "deb", "control", "zip", "journal",
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    honest = read_honest(author(tmp_path_factory.mktemp("author")).archive())
    return Fuzzed(honest, tmp_path_factory.mktemp("files"))


def test_every_parser_is_fed(fuzzed: Fuzzed) -> None:
    assert set(PARSERS) == set(fuzzed.parsers)


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.timeout(SECONDS * 4 + 120)
def test_a_parser_reads_or_refuses_whatever_it_is_fed(fuzzed: Fuzzed, name: str) -> None:
    luck, seeds, end = random.Random(f"{SEED} {name}"), fuzzed.seeds(name), time.monotonic() + SECONDS
    count = 0
    while time.monotonic() < end:
        data = mutated(luck.choice(seeds), luck.choice(seeds), luck)
        count += 1
        try:
            fuzzed.feed(name, data)
        except Exception as error:  # noqa: BLE001 -- whatever a parser should not have raised
            pytest.fail(f"{name}, seed {SEED}, input {count}, kept as {keep(name, data)}: {error!r}: {described(data)}")
    assert count > 0


def test_what_is_kept_has_a_parser(fuzzed: Fuzzed) -> None:
    from tests.support.fuzzed import KEPT

    assert {path.name for path in KEPT.iterdir()} <= set(fuzzed.parsers)
