"""A joint analysis on the terminal, within 100 columns. Formatting only: every number is in ``repro.joint/1``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from toolkit.analyse.joint import ARTICLE, CHANNELS, DEFAULT_RULE, DEFAULT_WEIGHTS, GC_PAUSE, LATENCY, MEMORY
from toolkit.analyse.patterns import FOUND, NOT_JUDGED
from toolkit.output import Output
from toolkit.report.table import table
from toolkit.units import readable

Json = dict[str, Any]

WIDTH = 100
MOST_ROWS = 40
SHORT = dict(zip(CHANNELS, ("P95", "throughput", "GC pause", "RSS", "goroutines"), strict=True))

_COLUMNS = (
    ("P95", LATENCY),
    ("ok/s", "qps.ok_hz"),
    ("GC max", GC_PAUSE),
    ("RSS", MEMORY),
    ("anon", "rss.anon.max_bytes"),
    ("file", "rss.file.max_bytes"),
    ("peak", "rss.peak.last_bytes"),
    ("cgroup", "rss.cgroup.last_bytes"),
    ("gor.", "goroutines.last"),
)


def show_joint(document: Json, out: Output) -> None:
    """What ``repro show --joint`` prints. ``document`` is ``repro.joint/1``."""
    out.data(f"run {document['run']}: joint analysis")
    _line(out, f"rule {document['rule']['name']}: {document['rule']['means']}")
    _line(out, f"weights {document['weights']['name']}: {document['weights']['formula']}")
    if document["with_tainted"]:
        out.data("tainted windows count too")
    for cell in document["cells"]:
        _cell(cell, document, out)


def _line(out: Output, text: str, indent: str = "  ") -> None:
    out.data(textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False))


def _cell(cell: Json, document: Json, out: Output) -> None:
    kept = sum(one["kept"] for one in cell["windows"])
    out.data(f"\n{cell['id']} ({cell['sdk']} {cell['version']})")
    out.data(f"windows of {cell['window_seconds']:g} s: {kept} of {len(cell['windows'])} count")
    for one in cell["launches"]:
        if one["reason"]:
            out.data(f"launch {one['n']} is left out: {one['reason']}")
    if not cell["windows"]:
        out.data("no windows: nothing can be analysed together; a launch has one per whole 10 s, or see --window")
        return
    out.data("\n" + _windows(cell["windows"], weighted=document["weights"]["name"] != DEFAULT_WEIGHTS))
    _dropped(cell["dropped"], out)
    if cell["bias"]:
        out.data("\n" + _bias(cell["bias"], document["rule"]["name"]))
    if kept:
        out.data("\n" + _correlations(cell["correlations"]))
        _reasons(cell["correlations"], out)
        _units(cell["units"], document["weights"]["name"], out)
    _patterns(cell["patterns"], out)


def _windows(windows: Sequence[Json], *, weighted: bool) -> str:
    heading = ["n", "from", *(name for name, _ in _COLUMNS), "GCs", *(["weight"] if weighted else []), ""]
    middle = len(windows) > MOST_ROWS
    shown = [*windows[: MOST_ROWS // 2], *windows[-MOST_ROWS // 2 :]] if middle else windows
    rows = [heading, *(_row(one, weighted=weighted) for one in shown)]
    if middle:
        rows.insert(MOST_ROWS // 2 + 1, [f"... {len(windows) - MOST_ROWS} more: --json"])
    return table(rows, right=frozenset(range(1, len(heading) - 1)))


def _row(one: Json, *, weighted: bool) -> list[str]:
    mark = "" if one["kept"] else "tainted, dropped" if one["tainted"] else "dropped"
    weight = f"{one['weight']:.3f}" if one["weight"] is not None else "-"
    return [
        f"{one['launch']}.{one['index']}",
        f"{one['start_seconds']:g}s",
        *(_short(one["values"][name], name) for _, name in _COLUMNS),
        "-" if one["values"]["gc.cycles"] is None else f"{one['values']['gc.cycles']:g}",
        *([weight] if weighted else []),
        mark or ("tainted" if one["tainted"] else ""),
    ]


def _short(value: float | None, metric: str) -> str:
    """Three digits and a unit of one or two letters: nine columns have to fit."""
    if value is None:
        return "-"
    number, unit = readable(value, metric)
    unit = {"MiB": "M", "KiB": "K", "GiB": "G", "1/s": ""}.get(unit, unit)
    return f"{float(number):.3g}{unit}" if abs(float(number)) < 1000 else f"{float(number):.0f}{unit}"


def _dropped(dropped: Sequence[Json], out: Output) -> None:
    by_reason: dict[str, list[str]] = {}
    for one in dropped:
        for reason in one["reasons"]:
            by_reason.setdefault(reason, []).append(f"{one['launch']}.{one['index']}")
    for reason, names in by_reason.items():
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        _line(out, f"dropped {', '.join(names[:20])}{more}: {reason}")


def _bias(bias: Json, rule: str) -> str:
    rows = [["mean of the windows that count", f"rule {DEFAULT_RULE}", f"rule {rule}", "difference"]]
    rows.append(["windows", str(bias["windows_default"]), str(bias["windows_rule"]), ""])
    for name, means in bias["means"].items():
        before, after = means["default"], means["rule"]
        change = f"{(after / before - 1) * 100:+.1f} %" if before and after is not None else "-"
        rows.append([name, _short(before, name), _short(after, name), change])
    return table(rows, right=frozenset({1, 2, 3}))


def _correlations(pairs: Sequence[Json]) -> str:
    rows = [["together", "n", "covariance", "Pearson", "95 % interval", "Spearman", "95 % interval"]]
    for one in pairs:
        value = one["covariance"]["value"]
        rows.append(
            [
                f"{SHORT[one['x']]} ~ {SHORT[one['y']]}",
                str(one["n"]),
                "-" if value is None else f"{value:.3g}",
                *_correlation(one["pearson"]),
                *_correlation(one["spearman"]),
            ]
        )
    return table(rows, right=frozenset({1, 2, 3, 5}))


def _correlation(entry: Json) -> list[str]:
    value = "-" if entry["value"] is None else f"{entry['value']:+.2f}"
    return [value, f"{entry['ci'][0]:+.2f} to {entry['ci'][1]:+.2f}" if entry["ci"] else "-"]


def _reasons(pairs: Sequence[Json], out: Output) -> None:
    """Why there is no number or no interval, each reason once."""
    known: dict[str, list[str]] = {}
    for one in pairs:
        for kind in ("pearson", "spearman"):
            if one[kind]["reason"]:
                text = one[kind]["reason"].partition(" independent ones")[0].partition(": neighbours")
                short = text[0] + (": neighbours are too alike (two trends always correlate)" if text[1] else "")
                known.setdefault(short, []).append(f"{SHORT[one['x']]} ~ {SHORT[one['y']]}")
    for reason, names in known.items():
        unique = list(dict.fromkeys(names))
        _line(out, f"{reason}: {'all pairs' if len(unique) == len(pairs) else ', '.join(unique)}")


def _units(units: Json, method: str, out: Output) -> None:
    if not units["largest_first_base"]:
        return
    first = [_pair(units[key][0]) for key in ("largest_first_base", "largest_first_other")]
    _line(
        out,
        f"covariance hangs on units: the largest is {first[0]} in {units['base']}, {first[1]} in {units['other']}; "
        "correlations are the same in all" + ("" if method != ARTICLE else ", and so are these weights"),
    )


def _pair(name: str) -> str:
    return " ~ ".join(SHORT[part] for part in name.split(" ~ "))


def _patterns(found: Sequence[Json], out: Output) -> None:
    out.data("\npatterns")
    rest: dict[str, list[str]] = {}
    for pattern in found:
        hits = [one for one in pattern["launches"] if one["verdict"] == FOUND]
        if hits:
            _found(pattern, hits, out)
            continue
        reasons = [one["reason"] for one in pattern["launches"] if one["verdict"] == NOT_JUDGED]
        all_short = bool(pattern["launches"]) and len(reasons) == len(pattern["launches"])
        # "METRIC has a value in N windows, it takes M": which metric is in the document.
        key = f"not judged ({reasons[0].partition(' has ')[2]})" if all_short else "not found"
        rest.setdefault(key, []).append(pattern["id"])
    for key, names in rest.items():
        _line(out, f"{key}: {', '.join(names)}")


def _found(pattern: Json, hits: Sequence[Json], out: Output) -> None:
    launches = ", ".join(str(one["launch"]) for one in hits)
    _line(out, f"FOUND {pattern['id']} in launch {launches} of {len(pattern['launches'])}: {pattern['title']}")
    _line(out, f"  it means: {pattern['means']}", "    ")
    for one in hits[0]["conditions"]:
        _line(out, f"  {_evidence(one)}", "    ")


def _evidence(one: Json) -> str:
    """A condition with its value against its threshold."""
    metric = one["metric"]
    if one["trend"] is None:
        what = f"{metric} is" if one["is"] == "at-least" else f"windows in which {metric} is many times {one['of']}:"
        return f"{what} {one['found']:.3g}, threshold {one['limit']:.3g}"
    start, change, limit = (_unit(value, metric) for value in (one["trend"]["start"], one["found"], one["limit"]))
    low, high = (f"{edge:+.3g}" for edge in one["trend"]["ci"])
    sign = "+" if one["found"] >= 0 else ""
    return (
        f"{metric} {one['is']}: from {start} by {sign}{change} over {one['n']} windows, threshold {limit} "
        f"(slope's 95 % interval {low} to {high} per s)"
    )


def _unit(value: float, metric: str) -> str:
    return " ".join(readable(value, metric)).strip()
