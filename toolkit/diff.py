"""What differs between two set-ups, and what that means for comparing them. Pure.

*blocking*: not the same experiment; *explanatory*: the same experiment under conditions that can move numbers;
*benign*: neither. What this table does not know is blocking: a difference nobody has thought about is not a small one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from toolkit.model.plan import Plan

Meaning = Literal["blocking", "explanatory", "benign"]

_HOST: Mapping[str, Meaning] = {
    "engine_version": "explanatory",
    "engine_api_version": "benign",
    "engine_storage_driver": "benign",
    "engine_rootless": "explanatory",
    "runtime_version": "explanatory",
    "containerd_version": "benign",
    "rights": "explanatory",
    "kernel": "explanatory",
    "cpu_model": "explanatory",
    "cpu_level": "explanatory",
    "cpu_microcode": "explanatory",
    "cpu_mitigations": "explanatory",
    "cpus_online": "explanatory",
    "memory_nodes": "explanatory",
    "memory_bytes": "benign",
    "swap_bytes": "benign",
    "swap_accounting": "explanatory",
    "smt": "explanatory",
    "governor": "explanatory",
    "clocksource": "explanatory",
    "transparent_hugepages": "explanatory",
    "transparent_hugepages_defrag": "explanatory",
    "numa_balancing": "explanatory",
    "aslr": "explanatory",
    "turbo": "explanatory",
    "idle_state": "explanatory",
    "nmi_watchdog": "explanatory",
    "workqueue_cpumask": "explanatory",
    "isolated_cpus": "explanatory",
    "tuned": "explanatory",
    "virtualization": "explanatory",
    "cgroup_version": "explanatory",
    "environment_key": "explanatory",
    "architecture": "blocking",
}


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    what: str
    original: Any
    now: Any
    meaning: Meaning

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def setup_differences(original: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Compare two set-ups (definition, images, host, tool version, telemetry), blocking differences first."""
    found = [
        *_definition(original["definition"], now["definition"]),
        *_images(original["images"], now["images"]),
        *_flat("tool", original.get("tool_version"), now.get("tool_version"), "explanatory"),
        *_host(original["host"], now["host"]),
        *_flat("telemetry", original.get("telemetry", []), now.get("telemetry", []), "explanatory"),
    ]
    rank = {"blocking": 0, "explanatory": 1, "benign": 2}
    return sorted(found, key=lambda one: (rank[one.meaning], one.what))


def _flat(what: str, original: Any, now: Any, meaning: Meaning) -> list[Difference]:
    return [] if original == now else [Difference(what, original, now, meaning)]


def _definition(original: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    return [one for key in sorted({*original, *now}) for one in _nested(key, original.get(key), now.get(key))]


def _nested(path: str, original: Any, now: Any) -> list[Difference]:
    """Walk equal shapes down to the leaves that differ, so that the report names the field and not the tree."""
    if isinstance(original, Mapping) and isinstance(now, Mapping):
        keys = sorted({*original, *now})
        return [one for key in keys for one in _nested(f"{path}.{key}", original.get(key), now.get(key))]
    return _flat(f"definition {path}", original, now, "blocking")


def _images(original: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[Difference]:
    before = {f"{image['kind']}-{image['id']}": image for image in original}
    after = {f"{image['kind']}-{image['id']}": image for image in now}
    found: list[Difference] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, {}), after.get(name, {})
        for key in ("config_digest", "diff_ids", "content_digest", "runtime_config_digest", "binary_digest"):
            old_value, new_value = old.get(key), new.get(key)
            if _plain(old_value) != _plain(new_value):
                found.append(Difference(f"image {name} {key}", old_value, new_value, "blocking"))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _host(original: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    found: list[Difference] = []
    for key in sorted({*original, *now}):
        found += _flat(f"host {key}", original.get(key), now.get(key), _HOST.get(key, "blocking"))
    return found


_PLACEMENT = ("cpus", "mems", "agent_cpus", "backend_cpus", "housekeeping_cpus", "shared_cpus", "idle_cpus")
_LENGTH = ("launches", "asked_as", "baseline")


def plan_differences(original: Plan, now: Plan) -> list[Difference]:
    """Compare two plans: another placement or number of launches explains numbers, all else is another experiment."""
    before, after = ({cell.cell: asdict(cell) for cell in plan.cells} for plan in (original, now))
    found = [
        Difference(
            f"cell {name}",
            "there" if name in before else "absent",
            "there" if name in after else "absent",
            "explanatory",
        )
        for name in sorted({*before} ^ {*after})
    ]
    for name in sorted({*before} & {*after}):
        for key in sorted(before[name]):
            if before[name][key] != after[name][key]:
                meaning: Meaning = "explanatory" if key in _PLACEMENT else "benign" if key in _LENGTH else "blocking"
                found.append(Difference(f"plan {name} {key}", before[name][key], after[name][key], meaning))
    if original.seed != now.seed:
        found.append(Difference("plan seed", original.seed, now.seed, "blocking"))
    rank = {"blocking": 0, "explanatory": 1, "benign": 2}
    return sorted(found, key=lambda one: (rank[one.meaning], one.what))
