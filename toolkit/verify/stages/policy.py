"""Stage 6: what would be run, held against the isolation baseline (CIS Docker Benchmark, chapter 5).

A re-run with this tool makes its containers from the plan with its own code; what is judged here is what an archive
brings for people without the tool: the compose files, the seccomp profile, the images' own settings, ``rerun.sh``.
What would give a container power over the host is unsafe; any other departure is shown, and refused by a re-run unless
allowed by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toolkit.archive import layout
from toolkit.archive.texts import rerun_files, rerun_script
from toolkit.canonical import digest
from toolkit.model.plan import plan_from_json
from toolkit.render.seccomp import seccomp_profile
from toolkit.verify.names import shown
from toolkit.verify.report import Refused, Stage
from toolkit.verify.scan import Scan
from toolkit.verify.strict import strict_json
from toolkit.verify.yamlread import strict_yaml

Json = Mapping[str, Any]

_HOST_NAMESPACES = ("pid", "ipc", "uts", "userns_mode", "network_mode", "cgroup")
_EXACT: Mapping[str, Any] = {
    "read_only": True, "cap_drop": ["ALL"], "privileged": False, "init": False, "ipc": "private", "restart": "no",
    "healthcheck": {"disable": True}, "pull_policy": "never",
}  # fmt: skip
_KNOWN = {
    *_EXACT, "image", "command", "network_mode", "user", "working_dir", "environment", "security_opt", "cpuset",
    "mem_limit", "memswap_limit", "pids_limit", "shm_size", "ulimits", "tmpfs", "volumes", "logging",
    "stop_grace_period", "depends_on",
}  # fmt: skip
_SOURCES = ("/dev/null", "./model.gguf")
_ENTRY_POINT = ["/repro/agent"]


def check_policy(stage: Stage, scan: Scan, documents: dict[str, Any]) -> list[str]:
    """Every departure from the baseline that is no danger to the host, as ``name: text``. Raises Refused."""
    found = [
        *_compose(stage, scan),
        *_seccomp(scan),
        *(note for image in documents["index"]["images"] for note in _image(scan, image)),
        *_script(scan, documents),
    ]
    stage.held("departures from the isolation baseline", "shown", f"{len(found)}" if found else "none")
    return found


def _compose(stage: Stage, scan: Scan) -> Iterator[str]:
    names = [name for name in scan.documents if name.startswith("run/rendered/") and name.endswith("/compose.yaml")]
    for name in sorted(names):
        project = strict_yaml(scan.documents[name], name, 6)
        services = project.get("services") if isinstance(project, dict) else None
        if not isinstance(services, dict) or not all(isinstance(one, dict) for one in services.values()):
            raise Refused(6, "malformed", shown(name), "a compose project with services", "something else")
        for role, service in services.items():
            place = f"{shown(name)}, service {shown(str(role))}"
            _dangers(place, service)
            yield from (f"compose.{what}: {place}" for what in _departures(service))
    stage.held("compose files", "no power over the host", f"{len(names)} read")


def _dangers(place: str, service: Json) -> None:
    """Raises Refused (unsafe) for what would hand the host to a container."""

    def refuse(what: str, found: object) -> None:
        raise Refused(6, "unsafe", f"{place}: {what}", "none", shown(str(found)))

    if service.get("privileged"):
        refuse("privileged", True)
    for key in ("cap_add", "devices", "device_cgroup_rules"):
        if service.get(key):
            refuse(key, service[key])
    for key in _HOST_NAMESPACES:
        if str(service.get(key, "")).startswith(("host", "container:")):
            refuse(f"the host's {key}", service[key])
    for option in service.get("security_opt") or ():
        if "unconfined" in str(option) or "disable" in str(option):
            refuse("security_opt", option)
    for volume in service.get("volumes") or ():
        source = str(volume.get("source") if isinstance(volume, dict) else volume).split(":")[0]
        if source not in _SOURCES:
            refuse("a mount of the host's", source)


def _departures(service: Json) -> Iterator[str]:
    yield from (key for key, value in _EXACT.items() if service.get(key) != value)
    yield from sorted(set(service) - _KNOWN)
    if service.get("network_mode") not in ("none", "service:backend"):
        yield "network_mode"
    if "no-new-privileges" not in (service.get("security_opt") or ()):
        yield "no-new-privileges"
    if service.get("mem_limit") is None or service.get("mem_limit") != service.get("memswap_limit"):
        yield "memswap_limit"
    if str(service.get("user", "0")).split(":")[0] in ("", "0", "root"):
        yield "user"
    if not isinstance(service.get("pids_limit"), int):
        yield "pids_limit"


def _seccomp(scan: Scan) -> Iterator[str]:
    ours = digest(seccomp_profile())
    for name in sorted(scan.documents):
        if name.startswith("run/rendered/") and name.endswith("/seccomp.json"):
            profile = strict_json(scan.documents[name], shown(name), 6)
            action = profile.get("defaultAction") if isinstance(profile, dict) else None
            if action in (None, "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"):
                raise Refused(6, "unsafe", shown(name), "a profile that denies by default", shown(str(action)))
            if digest(profile) != ours:
                yield f"seccomp: {shown(name)} is not the profile of this version"


def _image(scan: Scan, image: Json) -> Iterator[str]:
    """What an image asks for by itself."""
    data = scan.documents.get(layout.blob(str(image["config_digest"])))
    if data is None:
        return
    config = strict_json(data, "an image's configuration", 6).get("config") or {}
    name = shown(str(image["reference"]))
    if config.get("Entrypoint") != _ENTRY_POINT:
        yield f"image.entrypoint: {name} starts {shown(str(config.get('Entrypoint')))}"
    if str(config.get("User", "")).split(":")[0] in ("", "0", "root"):
        yield f"image.user: {name} runs as root"
    for key in ("Healthcheck", "OnBuild", "Volumes", "ExposedPorts"):
        if config.get(key):
            yield f"image.{key.lower()}: {name} has {key}"


def _script(scan: Scan, documents: dict[str, Any]) -> Iterator[str]:
    """What rerun.sh runs must be what this version would write, or somebody has to read it before it is run."""
    index = documents["index"]
    try:
        plan = plan_from_json(documents["plan"])
        ours = rerun_files(plan, documents["setup"], index["run"]["manifest_sha256"])
        ours[layout.RERUN] = rerun_script(plan, index["images"], with_images="images" not in index["without"])
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        yield f"rerun.sh: this version cannot write one for this plan ({shown(str(problem))})"
        return
    for name, data in sorted(ours.items()):
        found = scan.documents.get(name)
        if found is None:
            raise Refused(6, "incomplete", name, "in the archive", "missing")
        if found != data:
            yield f"rerun.sh: {name} is not what this version writes: read it before you run it"
