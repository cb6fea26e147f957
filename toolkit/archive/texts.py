"""The two files of an archive that people read first: README.md for the reviewer and rerun.sh for plain Docker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.archive import layout
from toolkit.archive.script import script
from toolkit.canonical import digest
from toolkit.lock import pretty
from toolkit.model.plan import Plan
from toolkit.render.templates import render

# What a shell can say of a host; the rest is unknown, and the environment key says that it is.
_HOST = {
    "architecture": "@machine@",
    "kernel": "@kernel@",
    "cpus_online": "@ncpu@",
    "memory_nodes": "@nodes@",
    "memory_bytes": "@memory@",
    "virtualization": "unknown",
    "cgroup_version": "@cgroup@",
    "swap_accounting": "@swaplimit@",
    "engine_version": "@engine@",
    "engine_rootless": "@rootless@",
    "rights": "@rights@",
    "cpu_mitigations": digest({"read": False}),
    "environment_key": digest({"route": layout.RERUN}),
}
_BARE = ("ncpu", "nodes", "memory", "swaplimit", "rootless")


def readme(index: Mapping[str, Any], manifest: Mapping[str, Any]) -> bytes:
    """README.md of the archive."""
    return render(
        "archive.README.md.j2",
        index=index,
        host=manifest["host"],
        grade=manifest["grade"],
        without=set(index["without"]),
        layout=layout,
    )


def rerun_files(plan: Plan, setup: Mapping[str, Any], manifest_sha256: str) -> dict[str, bytes]:
    """What rerun.sh fills in: the plan on the reader's CPUs, and the set-up with what a shell can say of the host."""
    place = {"cpus": "@measured@", "mems": "@node@", "agent_cpus": "@agent@", "housekeeping_cpus": "@agent@"}
    document = plan.to_json()
    for cell in document["cells"]:
        cell |= place
        if cell["backend_cpus"]:
            cell["backend_cpus"] = "@backend@"
    made = {**setup, "host": dict(_HOST), "chain": {"parent": f"sha256:{manifest_sha256}", "route": layout.RERUN}}
    return {layout.RERUN_PLAN: pretty(document), layout.RERUN_SETUP: _bare(pretty(made))}


def _bare(data: bytes) -> bytes:
    """Numbers and truth values stand without quotes once they are filled in."""
    for word in _BARE:
        data = data.replace(f'"@{word}@"'.encode(), f"@{word}@".encode())
    return data


def rerun_script(plan: Plan, images: Sequence[Mapping[str, Any]], *, with_images: bool) -> bytes:
    """rerun.sh: loads the images, runs the plan's launches in their order with ``docker`` alone."""
    return script(plan, images, with_images=with_images)
