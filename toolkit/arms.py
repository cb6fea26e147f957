"""Arms: the settings of a cell that differ from the defaults, as ``--arm key=value`` names them. Pure.

``sdk=defaults`` runs an SDK without the settings that its adapter moves; ``gogc`` and its like reach the Go runtime,
``pacing`` and ``fault`` the stub, ``http=h2`` the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from toolkit.errors import UsageError
from toolkit.model.catalogue import BackendEntry, SdkEntry

_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_RUNTIME_ARMS = {"gogc": "GOGC", "gomemlimit": "GOMEMLIMIT", "godebug": "GODEBUG"}
_BACKEND_ARMS = ("pacing", "fault")
MOST_AT_ONCE = 4096
"""The harness's own limit of requests in flight in a closed loop."""
_CORRECT = "correct it, or leave it out: docs/cli.md lists the arms"
_PROBABILITY = r"(0(\.[0-9]+)?|1)"
_ARM_VALUES = {
    "gogc": (r"off|[1-9][0-9]{0,5}", "off or a whole number"),
    "gomemlimit": (r"off|[0-9]{1,15}[kmg]?", "off or a size such as 64m"),
    "godebug": (r"[a-z0-9]+=[a-z0-9]+", "one setting, such as madvdontneed=1"),
    "pacing": (r"paced|unpaced", "paced or unpaced"),
    "fault": (
        rf"(http503|truncate|corrupt|reset)-{_PROBABILITY}|never_ready|exit_after-[0-9]+(\.[0-9]+)?",
        "http503-P, truncate-P, corrupt-P or reset-P with a probability, never_ready, or exit_after-SECONDS",
    ),
    "rate_hz": (r"[0-9]+(\.[0-9]+)?", "a number above 0"),
    "arrival": (r"poisson|constant", "poisson or constant"),
    "gomaxprocs": (r"[1-9][0-9]{0,3}", "a whole number above 0"),
    "concurrency": (r"[1-9][0-9]{0,3}", "a whole number above 0 (drive closed)"),
    "threads": (r"[1-9][0-9]{0,3}", "a whole number above 0 (engines in process)"),
    "sdk": (r"defaults", "defaults: without the settings that the adapter moves"),
    "http": (r"h1|h2", "h1, or h2 (HTTP/2 over TLS)"),
}


def check_arms(arms: Mapping[str, str]) -> None:
    """Raises UsageError for an arm that does not exist, or for a value it cannot have."""
    unknown = sorted(set(arms) - set(_ARM_VALUES))
    if unknown:
        raise UsageError(
            f"--arm {unknown[0]} is unknown", f"arms are {', '.join(_ARM_VALUES)}", "write --arm key=value"
        )
    for key, value in arms.items():
        if not re.fullmatch(_ARM_VALUES[key][0], value):
            raise UsageError(f"--arm {key}={value} cannot be used", f"it must be {_ARM_VALUES[key][1]}", _CORRECT)


def check_place(arms: Mapping[str, str], sdk: SdkEntry, backend: BackendEntry, drive: str) -> None:
    """Raises UsageError for an arm that would change nothing in such a cell: its name would promise what is not so."""
    idle = (
        (("rate_hz", "arrival"), drive != "open", f"drive {drive} has no schedule of arrivals"),
        (
            ("http",),
            backend.in_process or not backend.tls_port,
            f"backend '{backend.id}' has no HTTP/2 over TLS to choose",
        ),
        (("threads",), not backend.in_process, f"{sdk.id} is no engine in process"),
        (_BACKEND_ARMS, backend.in_process, f"backend '{backend.id}' is in the SDK's own process: it has no settings"),
    )
    for names, wrong, why in idle:
        for name in names:
            if wrong and name in arms:
                raise UsageError(f"--arm {name}={arms[name]} cannot be used with {sdk.id}", why, "leave it out")


def runtime_arms(arms: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of the Go runtime."""
    found = {_RUNTIME_ARMS[key]: value for key, value in arms.items() if key in _RUNTIME_ARMS}
    limit = found.get("GOMEMLIMIT", "off")
    if limit != "off":
        # Go wants "64MiB" with that very case, which no cell id could hold; plain bytes mean the same.
        size = parse_memory(limit)
        if size >= 2**63:  # the runtime would end the program at its start
            raise UsageError(f"--arm gomemlimit={limit} is out of range", "it must be below 8 EiB", "for example 64m")
        found["GOMEMLIMIT"] = str(size)
    return found


def backend_arms(arms: Mapping[str, str], backend: BackendEntry) -> dict[str, str]:
    """Settings of the backend. Raises UsageError for one that this backend does not have."""
    found = {key: arms[key] for key in _BACKEND_ARMS if key in arms}
    for key in found:
        if key not in backend.settings:
            raise UsageError(
                f"--arm {key} cannot be used", f"backend '{backend.id}' has no such setting", "leave it out"
            )
    if "fault" in found:
        # A cell id has no colon: fault=http503-0.01 is the backend's http503:0.01.
        found["fault"] = found["fault"].replace("-", ":", 1)
    return found


def concurrency(text: str | None) -> int:
    """The number of requests in flight in a closed loop. Raises UsageError beyond what the harness can keep."""
    value = int(number("concurrency", text, 1.0))
    if value > MOST_AT_ONCE:
        raise UsageError(f"--arm concurrency={text} is out of range", f"it must be at most {MOST_AT_ONCE}", _CORRECT)
    return value


def number(name: str, text: str | None, default: float) -> float:
    """An arm's number, or the default. Raises UsageError."""
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as problem:
        raise UsageError(
            f"--arm {name}={text} is not a number", "", f"for example --arm {name}={default:g}"
        ) from problem
    if not 0 < value < 1e6:
        raise UsageError(f"--arm {name}={text} is out of range", "it must be above 0 and below a million", _CORRECT)
    return value


def parse_arms(pairs: list[str]) -> dict[str, str]:
    """``key=value`` texts as a mapping; UsageError on a malformed or repeated one."""
    arms: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"--arm '{pair}' is not key=value", "", "for example --arm gogc=200")
        if key in arms:
            raise UsageError(f"--arm {key} was given twice", f"{arms[key]} and {value}", "give it once")
        arms[key] = value
    return arms


def parse_memory(text: str) -> int:
    """``512m`` or ``4g`` (powers of 1024, as Docker's ``--memory``) in bytes; UsageError on anything else."""
    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)", text.strip().lower())
    if match is None:
        raise UsageError(
            f"--memory '{text}' is not a size", "it is a whole number with b, k, m or g", "for example --memory 512m"
        )
    return int(match[1]) * _UNITS[match[2]]
