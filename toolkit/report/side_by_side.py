"""Two runs side by side: value, interval and n of each, what changed, and no verdict, which takes statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.analyse.transfer import ratios, transferable
from toolkit.diff import Difference
from toolkit.output import Output
from toolkit.report.table import table
from toolkit.report.terminal import INTERVAL_LAUNCHES, launch_line, ordered, print_warnings, run_state, worth_a_row
from toolkit.units import readable

Json = Mapping[str, Any]

ENVIRONMENT = "host environment_key"


def from_elsewhere(differences: list[Difference]) -> bool:
    """Whether the two runs come from environments whose absolute times and bytes are not comparable."""
    return any(one.what == ENVIRONMENT for one in differences)


def comparison(original: Json, rerun: Json, out: Output, *, elsewhere: bool = False) -> None:
    """For people. Both are ``repro.launch/1``; ``elsewhere``: only what means the same on another machine is shown."""
    out.data(f"\noriginal {original['run']}: {run_state(original)}, grade {original['grade']}")
    out.data(f"re-run   {rerun['run']}: {run_state(rerun)}, grade {rerun['grade']}")
    if elsewhere:
        out.data("another environment: times and bytes do not compare, so only transferable metrics are shown")
    before, after = ratios(original), ratios(rerun)
    cells = {cell["id"]: cell for cell in rerun["cells"]}
    for cell in original["cells"]:
        name = cell["id"]
        out.data(f"\n{name}")
        again = cells.get(name)
        if again is None:
            out.data("not run again")
            continue
        for one in again["launches"]:
            out.data(launch_line(one))
        print_warnings(cell, out, "original ")
        print_warnings(again, out, "re-run ")
        _metrics(cell["metrics"], again["metrics"], out, elsewhere=elsewhere)
        _ratios(before.get(name, {}), after.get(name, {}), out)
    out.data(f"\ncompared without a verdict: that takes {INTERVAL_LAUNCHES} launches of each")


def _metrics(before: Json, after: Json, out: Output, *, elsewhere: bool) -> None:
    if elsewhere:
        before, after = transferable(before), transferable(after)
    for title, flag in (("compared between SDKs", True), ("shown, never compared", False)):
        rows = _side_by_side(before, after, title, compared=flag)
        if len(rows) > 1:
            out.data("\n" + table(rows, right=frozenset({1, 2, 3, 4, 5})))


def _side_by_side(before: Json, after: Json, title: str, *, compared: bool) -> list[list[str]]:
    rows = [[title, "original", "n", "re-run", "n", "difference"]]
    for metric in ordered({**before, **after}):
        entries = [side.get(metric, {"value": None}) for side in (before, after)]
        values = [entry["value"] for entry in entries]
        if not any(worth_a_row(metric, entry) for entry in entries):
            continue
        if any(entry.get("compared", True) for entry in entries if entry["value"] is not None) != compared:
            continue
        cells = [text for entry in entries for text in (_text(entry, metric), str(entry.get("n", "-")))]
        rows.append([metric, *cells, difference(values[0], values[1])])
    return rows


def _ratios(before: Mapping[str, float], after: Mapping[str, float], out: Output) -> None:
    """Multiples of the null SDK: one machine's own yardstick, so they compare between machines."""
    names = [name for name in before if name in after]
    if not names:
        return
    rows = [["as a multiple of the null SDK", "original", "re-run", "difference"]]
    rows += [
        [name, f"{before[name]:.3g}", f"{after[name]:.3g}", difference(before[name], after[name])] for name in names
    ]
    out.data("\n" + table(rows, right=frozenset({1, 2, 3})))


def _text(entry: Json, metric: str) -> str:
    """The value in a readable unit, with its interval where there is one."""
    value, interval = entry["value"], entry.get("ci")
    if value is None:
        return "-"
    text = " ".join(readable(value, metric)).strip()
    if not interval:
        return text
    low, high = (" ".join(readable(end, metric)).strip() for end in interval)
    return f"{text} ({low} to {high})"


def difference(before: float | None, after: float | None) -> str:
    """The change in per cent of the original."""
    if before is None or after is None:
        return "-"
    if before == after:
        return "0 %"
    return f"{(after - before) / abs(before) * 100:+.1f} %" if before else "from 0"


def cell_rows(before: Json, after: Json, *, elsewhere: bool) -> list[dict[str, Any]]:
    """For programs: per cell of both runs the metrics of both, and the ratios to the null SDK."""
    one, two = ratios(before), ratios(after)
    there = {cell["id"]: cell["metrics"] for cell in after["cells"]}
    rows = []
    for cell in before["cells"]:
        name = cell["id"]
        if name not in there:
            continue
        old, new = cell["metrics"], there[name]
        if elsewhere:
            old, new = transferable(old), transferable(new)
        metrics = {key: {"original": old[key], "rerun": new[key]} for key in old if key in new}
        shared = [key for key in one.get(name, {}) if key in two.get(name, {})]
        multiples = {key: {"original": one[name][key], "rerun": two[name][key]} for key in shared}
        rows.append({"id": name, "metrics": metrics, "ratios": multiples})
    return rows
