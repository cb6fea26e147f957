"""The experiments of ``repro probe``: what each asks, in the order of the capability matrix.

The harness runs them (docs/harness.md, "The probe drive"); an outcome is evidence of one run, never a claim of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One column of the matrix: ``title`` heads it, ``question`` is what was asked of the SDK."""

    id: str
    title: str
    question: str


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment("first-request", "first request", "how much longer than the second does the first request take"),
    Experiment("openai-compatible", "OpenAI wire", "does it speak OpenAI's wire format, by the routes a server saw"),
    Experiment("local-model", "local model", "does it run a model inside its own process"),
    Experiment("streams", "streams", "does the first delta arrive clearly before the end"),
    Experiment("embeds", "embeds", "does it return an embedding of the right dimension"),
    Experiment("embeds-base64", "base64 embeddings", "can it ask for embeddings as base64, and decode them"),
    Experiment("images", "images", "does an image reach the model, byte for byte"),
    Experiment("counts-tokens", "counts tokens", "can it say how many tokens a text has"),
    Experiment("switches-backend", "switches back end", "can one process use another back end without a rebuild"),
    Experiment("custom-template", "own template", "does it put a prompt through the caller's own template"),
    Experiment("retry-policy", "retries", "how many requests does the server see per call when it answers 503"),
    Experiment("maps-model-file", "maps the model", "is the model file mapped (/proc/PID/maps)"),
    Experiment("chinese-split", "split UTF-8", "does Chinese text arrive intact, frames cut inside characters"),
    Experiment("cancel", "cancels", "how long after the cancellation does a streamed call return"),
    Experiment("abandoned-streams", "1,000 abandoned", "are goroutines, descriptors and connections back afterwards"),
    Experiment("frame-63k", "63 KiB frame", "does one frame of 63 KiB arrive whole"),
    Experiment("frame-65k", "65 KiB frame", "does one frame of 65 KiB arrive whole"),
    Experiment("frame-600k", "600 KiB frame", "does one frame of 600 KiB arrive whole"),
    Experiment("frame-9m", "9 MiB frame", "does one frame of 9 MiB arrive whole"),
    Experiment("keep-alive-comments", "301 comments", "does it wait through 301 comments before the first token"),
    Experiment("stall", "stall", "does a call end at its deadline when the stream stalls after token 10"),
    Experiment("corrupt-frame", "corrupt frame", "is a frame that is not JSON reported as an error"),
    Experiment("truncated-stream", "cut stream", "is a stream that ends early reported as an error"),
    Experiment("connection-reuse", "connections", "how many connections does it open per 100 requests"),
    Experiment("chunk-cost", "cost per chunk", "how many bytes and allocations does one streamed chunk cost"),
)
BY_ID = {one.id: one for one in EXPERIMENTS}


def ordered(ids: Iterable[str]) -> list[str]:
    """Experiment ids in the matrix's order; those it does not know come last, by name."""
    known = [one.id for one in EXPERIMENTS]
    return sorted(ids, key=lambda one: (known.index(one) if one in known else len(known), one))
