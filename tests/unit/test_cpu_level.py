"""The processor's level, and the refusal of an image that needs a higher one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.test_plan_stage import CHOICE, PLACEMENT, cell
from toolkit.errors import HostUnfit
from toolkit.host.cpu_level import level_of, missing_flags, read_flags
from toolkit.host.topology import read_topology
from toolkit.launch.prepare import check_cpu_level, check_host
from toolkit.plan import Request, make_plan

V2 = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"]
V3 = [*V2, *["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]]
V4 = [*V3, *["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]]


@pytest.mark.parametrize(("flags", "level"), [([], 1), (V2, 2), (V3, 3), (V4, 4), (V4[6:], 1), ([*V2, "avx2"], 2)])
def test_a_level_needs_every_flag_of_it_and_of_those_below(flags: list[str], level: int) -> None:
    assert level_of(flags) == f"x86-64-v{level}"


@pytest.mark.parametrize("flag", V3)
def test_each_flag_counts(flag: str) -> None:
    without = [one for one in V3 if one != flag]
    assert level_of(without) < "x86-64-v3"
    assert missing_flags("x86-64-v3", without) == [flag]


def test_flags_are_those_of_the_first_processor(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    text = "processor\t: 0\nflags\t\t: fpu sse4_2\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert read_flags(tmp_path) == ("fpu", "sse4_2")
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\n")
    assert read_flags(tmp_path) == ()


def test_an_image_for_a_higher_level_is_refused_with_what_is_missing() -> None:
    plan = replace(cell(), cpu_level="x86-64-v3")
    check_cpu_level(plan, V3)
    with pytest.raises(HostUnfit, match="avx2") as caught:
        check_cpu_level(plan, V2)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("backend", "advice"), [(1 << 20, "at most 1048576 bytes here"), (4 << 20, "a smaller model")])
def test_what_is_advised_for_too_much_memory_can_be_done(backend: int, advice: str) -> None:
    plan = make_plan(Request(), [CHOICE], PLACEMENT)
    wanted = replace(plan, cells=(replace(plan.cells[0], backend_memory_bytes=backend),))
    with pytest.raises(HostUnfit, match="more memory") as error:
        check_host(wanted, replace(read_topology(), memory_bytes=2 << 20))
    assert advice in error.value.remedy
