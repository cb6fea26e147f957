"""Benchmarks that can be believed: build, isolate, measure, record, re-run.

Words (the glossary of ``docs/architecture.md`` rules in flags, JSON keys and files): *SDK* a catalogue entry;
*workload* what it is asked to do; *backend* the program it talks to; *cell* SDK x workload x arm; *launch* one start of
a cell's containers; *attempt* a launch's n-th try; *lane* an exclusive set of CPUs; *run* (a noun only) what one
``repro launch`` produces; *manifest* what was asked and found; *result* what was measured.
"""

__version__ = "0.1.0"
