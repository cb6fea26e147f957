"""The text of ``go test -bench`` is parsed as benchstat parses it, and kept as it was printed."""

from __future__ import annotations

import pytest

from tests.support.journals import START, Builder, evidence
from toolkit.analyse.bench_text import bench_metrics, bench_text, parse_bench, parse_line

REAL = [
    "goos: linux",
    "goarch: amd64",
    "pkg: sealbench.org/sdks/go-openai",
    "cpu: AMD EPYC 7B13",
    "BenchmarkWorkload/embed-512 \t      10\t 101512345 ns/op\t         0 errors/op\t   12345 B/op\t     101 allocs/op",
    "BenchmarkWorkload/embed-512-8\t      20\t  99512345.5 ns/op\t  1e-05 errors/op\t   12347 B/op\t     103 allocs/op",
]


def test_results_and_configuration_are_told_apart() -> None:
    results, bad = parse_bench(REAL)
    assert bad == []
    assert [result.iterations for result in results] == [10, 20]
    assert results[0].name == "BenchmarkWorkload/embed-512"
    assert results[1].values == {"ns/op": 99512345.5, "errors/op": 1e-05, "B/op": 12347.0, "allocs/op": 103.0}


def test_metrics_are_medians_and_errors_are_weighted() -> None:
    values = bench_metrics(parse_bench(REAL)[0], drive="bench")
    assert values["bench.allocs_per_op"].value == 102
    assert values["error.rate"].value == pytest.approx(1e-05 * 20 / 30)
    assert values["error.rate"].n == 30


@pytest.mark.parametrize(
    "line",
    [
        "",
        "PASS",
        "ok  \tsealbench.org\t1.2s",
        "Benchmarkworkload 10 5 ns/op",
        "BenchmarkX",
        "BenchmarkX 10",
        "BenchmarkX 0 5 ns/op",
        "BenchmarkX ten 5 ns/op",
        "BenchmarkX 10 five ns/op",
        "BenchmarkX 10 nan ns/op",
        "BenchmarkX 10 -5 ns/op",
        "BenchmarkX 10 5 ns/op 6",
        "BenchmarkX 10 5 ns/op 6 ns/op",
    ],
)
def test_what_is_no_result_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not a benchmark result|could not convert"):
        parse_line(line)


def test_the_text_is_kept_unchanged() -> None:
    builder = Builder().hello().lines(START, *[{"k": "bench", "line": line} for line in REAL])
    assert bench_text(evidence(builder)) == "\n".join(REAL) + "\n"


def test_no_lines_is_a_reason() -> None:
    assert bench_metrics([], drive="bench")["bench.allocs_per_op"].reason == "no benchmark lines"
    assert bench_metrics([], drive="open")["bench.allocs_per_op"].reason == "drive open"
