"""The joint table: which windows count, the article's rule and weights with what they do, the document, the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.journals import MS, Load, launch_journal
from tests.support.runs import sealed_run, unsealed_run
from toolkit.analyse.joint import (
    ARTICLE,
    CHANNELS,
    DEFAULT_RULE,
    GC_PAUSE,
    LATENCY,
    MEMORY,
    THROUGHPUT,
    Window,
    bias,
    judged,
    weighed,
    windows_of,
)
from toolkit.analyse.relations import relations, units
from toolkit.collect.journal import encode_journal
from toolkit.errors import ArchiveInvalid, UsageError
from toolkit.launch.folder import RunFolder
from toolkit.output import Output
from toolkit.report.joint import JointOptions, joint_document
from toolkit.report.joint_text import WIDTH, show_joint
from toolkit.schemas import problems
from toolkit.seal import read_plan, seal

SECOND = 1_000_000_000
MIB = 1024.0**2


def entry(value: float | None, n: int = 100, reason: str | None = None) -> dict[str, Any]:
    return {"value": value, "n": n, "reason": reason}


def row(index: int, *, pauses: int = 2, rss: float = 20 * MIB, tainted: bool = False, p95: float | None = 0.01) -> Any:
    """A window as ``result.json`` has it; the numbers that a test does not set vary a little."""
    none = "no pause in the interval"
    return {
        "index": index,
        "start_ns": (100 + 10 * index) * SECOND,
        "end_ns": (110 + 10 * index) * SECOND,
        "tainted": tainted,
        "metrics": {
            LATENCY: entry(p95 if p95 is None else p95 + index * index % 7 * 1e-4, reason="P95 needs at least 72"),
            THROUGHPUT: entry(40.0 + index % 3),
            GC_PAUSE: entry(1e-4 * pauses, pauses) if pauses else entry(None, 0, none),
            "gc.pause.total_seconds": entry(1e-4 * pauses, pauses),
            "gc.cycles": entry(float(pauses // 2)),
            MEMORY: entry(rss),
            "goroutines.last": entry(12.0 + index % 5),
        },
    }


def windows(*rows: Any, launch: int = 1) -> list[Window]:
    return windows_of(launch, rows, 100 * SECOND)


def test_all_channels_share_the_launchs_origin() -> None:
    one, two = windows(row(0), row(1))
    assert (one.start_seconds, two.start_seconds, two.middle_seconds, two.start_ns) == (0, 10, 15, 110 * SECOND)


def test_a_window_without_a_collection_has_zero_pauses_and_is_complete() -> None:
    (one,) = judged(windows(row(0, pauses=0)), DEFAULT_RULE)
    assert one.kept
    assert one.values[GC_PAUSE] == 0.0
    assert one.values["gc.cycles.rate_hz"] == 0.0


def test_the_articles_rule_drops_it_with_the_reason() -> None:
    (one,) = judged(windows(row(0, pauses=0)), ARTICLE)
    assert one.dropped == (f"{GC_PAUSE}: no pause in the window, which this rule calls missing",)


def test_what_was_not_measured_is_missing_under_both() -> None:
    blind = row(0)
    blind["metrics"][GC_PAUSE] = blind["metrics"]["gc.pause.total_seconds"] = entry(None, 0, "no runtime snapshot")
    for rule in (DEFAULT_RULE, ARTICLE):
        (one,) = judged(windows(blind), rule)
        assert one.dropped == (f"{GC_PAUSE}: no runtime snapshot",)
        (one,) = judged(windows(row(0, p95=None)), rule)
        assert one.dropped == (f"{LATENCY}: P95 needs at least 72",)


def test_tainted_windows_are_left_out_unless_asked_for() -> None:
    bad = row(0, tainted=True)
    bad["taints"] = [{"what": "foreign_cpu_share", "found": 0.2, "limit": 0.02}]
    (one,) = judged(windows(bad), DEFAULT_RULE)
    assert one.dropped == ("tainted, interference beyond the plan's budget: foreign_cpu_share",)
    assert judged(windows(bad), DEFAULT_RULE, with_tainted=True)[0].kept


def test_sixty_windows_with_collections_in_two_keep_two_and_the_mean_shows_it() -> None:
    """The article's own recipe, on what a program with few collections gives."""
    found = windows(*(row(index, pauses=6 if index in (17, 42) else 0) for index in range(60)))
    assert bias(found, DEFAULT_RULE) is None
    shown = bias(found, ARTICLE)
    assert shown is not None
    assert (shown["windows_default"], shown["windows_rule"]) == (60, 2)
    assert shown["means"][GC_PAUSE]["default"] == pytest.approx(6e-4 / 30)
    assert shown["means"][GC_PAUSE]["rule"] == pytest.approx(6e-4)


def test_the_articles_weights_are_rss_change_times_pauses_normalised() -> None:
    sizes = [20, 22, 21, 21]
    found = weighed(
        judged(windows(*(row(i, rss=size * MIB, pauses=i + 1) for i, size in enumerate(sizes))), DEFAULT_RULE), ARTICLE
    )
    # |+2| x 2, |-1| x 3, |0| x 4; the first window has no one before it.
    assert [one.weight for one in found] == [None, pytest.approx(4 / 7), pytest.approx(3 / 7), 0]


def test_each_launch_has_its_own_first_window() -> None:
    both = [*windows(row(0), row(1, rss=30 * MIB)), *windows(row(0), row(1, rss=30 * MIB), launch=2)]
    weights = [one.weight for one in weighed(judged(both, DEFAULT_RULE), ARTICLE)]
    assert weights == [None, 0.5, None, 0.5]


def test_without_collections_nothing_has_a_weight() -> None:
    found = weighed(judged(windows(*(row(i, pauses=0) for i in range(12))), DEFAULT_RULE), ARTICLE)
    assert {one.weight for one in found} == {None}
    assert relations(found, ARTICLE, 1)[0]["covariance"]["reason"] == "0 windows count, it takes 2"


def test_weighted_covariance_is_numpys_and_has_no_interval() -> None:
    rows = [row(i, rss=(20 + i * i % 5) * MIB, pauses=1 + i % 4) for i in range(14)]
    found = weighed(judged(windows(*rows), DEFAULT_RULE), ARTICLE)
    pair = next(one for one in relations(found, ARTICLE, 1) if (one["x"], one["y"]) == (LATENCY, MEMORY))
    counted = [one for one in found if one.weight is not None]
    values = [[one.values[name] for one in counted] for name in (LATENCY, MEMORY)]
    theirs = np.cov(*values, aweights=[one.weight for one in counted])[0, 1]
    assert pair["covariance"]["value"] == pytest.approx(theirs)
    assert pair["covariance"]["ci"] is None
    assert pair["covariance"]["reason"] == "no interval: the weights are made of the same data"


def test_units_reorder_covariances_and_leave_correlations_and_weights_alone() -> None:
    rows = [row(i, rss=(20 + i * i % 5) * MIB, pauses=1 + i % 4) for i in range(14)]
    plain = weighed(judged(windows(*rows), DEFAULT_RULE), ARTICLE)
    for one in rows:
        one["metrics"][MEMORY]["value"] /= MIB
        one["metrics"][LATENCY]["value"] *= 1000
        one["metrics"][GC_PAUSE]["value"] *= 1000
    scaled = weighed(judged(windows(*rows), DEFAULT_RULE), ARTICLE)
    assert [one.weight for one in scaled] == pytest.approx([one.weight for one in plain], nan_ok=True)
    before, after = (relations(found, ARTICLE, 1) for found in (plain, scaled))
    assert [one["pearson"]["value"] for one in before] == pytest.approx([one["pearson"]["value"] for one in after])
    told = units(before)
    assert told["order_changes"]
    assert told["largest_first_other"] == units(after)["largest_first_base"]


def test_every_pair_of_channels_is_there_once() -> None:
    found = weighed(judged(windows(*(row(i) for i in range(12))), DEFAULT_RULE), "equal")
    pairs = relations(found, "equal", 1)
    assert len(pairs) == len(CHANNELS) * (len(CHANNELS) - 1) / 2
    assert relations(found, "equal", 1) == pairs
    by_name = {(one["x"], one["y"]): one for one in pairs}
    assert by_name[LATENCY, MEMORY]["pearson"]["reason"] == "one of the two never changes"
    assert by_name[LATENCY, THROUGHPUT]["pearson"]["ci"] is not None


# A whole run


def document(folder: RunFolder, **options: Any) -> dict[str, Any]:
    found = json.loads(json.dumps(joint_document(folder, JointOptions(**options)), allow_nan=False))
    assert problems(found, "joint") == []
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    load = Load(latency_ns=lambda number: (20 + number * number % 11) * MS)
    return sealed_run(tmp_path_factory.mktemp("joint"), load=load, launches=2, duration_seconds=90.0)


def test_a_run_has_its_table(run: RunFolder) -> None:
    (cell,) = document(run)["cells"]
    assert [(one["n"], one["windows"], one["kept"]) for one in cell["launches"]] == [(1, 9, 9), (2, 9, 9)]
    first = cell["windows"][0]
    assert (first["start_seconds"], first["end_seconds"], first["gc_pauses"]) == (0, 10, 20)
    assert set(first["values"]) == set(document(run)["columns"])
    assert None not in first["values"].values()
    assert sum(one["weight"] for one in cell["windows"]) == pytest.approx(1)
    assert {one["verdict"] for pattern in cell["patterns"] for one in pattern["launches"]} == {"not-found"}


def test_a_result_without_what_windows_have_today_is_still_read(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path, duration_seconds=90.0)
    (path,) = folder.path.glob("attempts/*/1.1/result.json")
    result = json.loads(path.read_text())
    for window in result["windows"]:
        for name in ("goroutines.last", "in_flight.last", "heap.live.last_bytes"):
            del window["metrics"][name]
    path.write_text(json.dumps(result))
    seal(folder)
    (cell,) = document(folder)["cells"]
    assert cell["launches"][0]["kept"] == 9
    verdicts = {pattern["id"]: pattern["launches"][0]["verdict"] for pattern in cell["patterns"]}
    assert (verdicts["overload"], verdicts["leak"]) == ("not-judged", "not-found")
    pair = next(one for one in cell["correlations"] if one["y"] == "goroutines.last")
    assert pair["covariance"]["reason"] == "0 windows count, it takes 2"


def test_an_invalid_launch_is_left_out_and_says_so(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path, load=Load(drops=3), duration_seconds=30.0)
    (cell,) = document(folder)["cells"]
    assert cell["windows"] == []
    assert cell["launches"][0]["reason"] == "the launch is not valid"
    assert "launch 1 is left out: the launch is not valid" in text(folder)


def text(folder: RunFolder, **options: Any) -> str:
    import io

    out = io.StringIO()
    show_joint(document(folder, **options), Output(stdout=out, stderr=io.StringIO()))
    return out.getvalue()


def test_windows_are_cut_anew_from_the_journals(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path, duration_seconds=30.0)
    (cell,) = read_plan(folder).cells
    (path,) = folder.path.glob("attempts/*/1.1/journal.pb")
    path.write_bytes(encode_journal(launch_journal(cell).records()))
    result = json.loads(path.with_name("result.json").read_text())
    result["windows"][1]["tainted"] = True
    path.with_name("result.json").write_text(json.dumps(result))
    seal(folder)
    (found,) = document(folder, window_seconds=2.0)["cells"]
    assert (found["window_seconds"], len(found["windows"])) == (2.0, 15)
    # The second window of 10 s was tainted: so are those that lie in it.
    assert [one["index"] for one in found["windows"] if one["tainted"]] == [5, 6, 7, 8, 9]
    (whole,) = document(folder, window_seconds=10.0)["cells"]
    (kept,) = document(folder)["cells"]
    assert whole == kept


def test_a_run_without_its_journals_cannot_be_cut_anew(run: RunFolder) -> None:
    with pytest.raises(ArchiveInvalid) as caught:
        document(run, window_seconds=5.0)
    assert "says nothing of a measurement" in caught.value.cause


@pytest.mark.parametrize("options", [{}, {"rule": ARTICLE, "weights": ARTICLE}])
def test_the_text_fits_a_hundred_columns(run: RunFolder, options: dict[str, str]) -> None:
    shown = text(run, **options)
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "windows of 10 s: 18 of 18 count" in shown
    assert ("rule article-2024" in shown) == bool(options)
    assert "not found: leak, exhausted-pool" in shown


def test_where_no_window_counts_it_says_so_once(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path, duration_seconds=30.0)
    (path,) = folder.path.glob("attempts/*/1.1/result.json")
    result = json.loads(path.read_text())
    for window in result["windows"]:
        window["tainted"] = True
    path.write_text(json.dumps(result))
    seal(folder)
    shown = text(folder)
    assert "windows of 10 s: 0 of 3 count" in shown
    assert "Pearson" not in shown
    assert "not judged (a value in 0 windows, it takes 8): leak, exhausted-pool" in shown


def test_a_short_run_says_what_it_takes(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path, duration_seconds=8.0)
    assert "no windows: nothing can be analysed together" in text(folder)


def test_what_was_not_sealed_is_refused(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    (path,) = folder.path.glob("attempts/*/1.1/result.json")
    path.write_text(path.read_text().replace('"launch": 1', '"launch": 2'))
    with pytest.raises(ArchiveInvalid):
        joint_document(folder, JointOptions())


@pytest.mark.parametrize(
    "options", [{"rule": "mine"}, {"weights": "mine"}, {"window_seconds": 0.5}, {"window_seconds": float("nan")}]
)
def test_what_is_not_known_is_a_usage_error(run: RunFolder, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        joint_document(run, JointOptions(**options))
