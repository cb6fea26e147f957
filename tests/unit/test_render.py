"""Rendering: same input, same bytes; strict; nothing of this machine in it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest
import yaml

from tests.support.canaries import own_names
from toolkit import resources
from toolkit.build import targets
from toolkit.build.recipe import recipes
from toolkit.catalogue import load_catalogue
from toolkit.engine.request import tmpfs_options as engine_tmpfs_options
from toolkit.errors import CatalogueError, UsageError
from toolkit.lock import lock_json, read_lock
from toolkit.model.container import ContainerSpec, Mount, Tmpfs
from toolkit.render.files import dockerfiles, ground, render_cell, tmpfs_options
from toolkit.render.seccomp import seccomp_bytes, seccomp_profile
from toolkit.render.templates import environment, render


def spec(image: str) -> ContainerSpec:
    return ContainerSpec(
        image=image,
        command=("numactl", "--membind=0", "--", "/repro/workload", "-test.run=^$"),
        environment={"REPRO_WORKLOAD": '{"price":"$5"}', "HOME": "/tmp"},
        cpuset_cpus="0-1",
        mounts=(Mount("/dev/null", "/etc/resolv.conf"),),
        tmpfs=(Tmpfs("/tmp", 64 << 20),),
    )


def rendered() -> dict[str, bytes]:
    catalogue = load_catalogue()
    return render_cell(
        "go-openai/chat-stream-128/default",
        lock=lock_json(read_lock()),
        sdk=catalogue.sdk("go-openai"),
        backend=catalogue.backend("stub"),
        sdk_container=spec("sealbench/sdk-go-openai:000000000000"),
        backend_container=spec("sealbench/backend-stub:000000000000"),
    )


def test_the_same_input_gives_the_same_bytes() -> None:
    assert rendered() == rendered()
    assert set(rendered()) == {"Dockerfile", "Dockerfile.backend", "compose.yaml", "seccomp.json"}


def test_nothing_of_this_machine_is_rendered() -> None:
    for name, data in rendered().items():
        for canary in (str(Path.cwd()), str(Path.home()), str(resources.images_dir().parent)):
            assert len(canary) < 5 or canary.encode() not in data, name
        for canary in own_names().values():
            assert canary.encode() not in data, name


def test_the_dockerfile_starts_from_content_and_runs_nothing_by_shell() -> None:
    text = rendered()["Dockerfile"].decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    start = ground(lock_json(read_lock()))
    assert [line for line in lines if line.startswith("FROM")] == [
        f"FROM {start.toolchain} AS agent",
        f"FROM {start.toolchain} AS workload",
        f"FROM {start.base}",
    ]
    assert all(isinstance(json.loads(line[4:]), list) for line in lines if line.startswith("RUN "))
    assert lines[-1] == 'ENTRYPOINT ["/repro/agent"]'
    assert not any(line.startswith(("CMD", "ADD", "ARG")) for line in lines)


def test_the_starting_images_follow_from_the_lock_alone() -> None:
    data = lock_json(read_lock())
    assert ground(data) == ground(json.loads(json.dumps(data)))
    with pytest.raises(UsageError, match="repro build"):
        ground({**data, "base": {"image": "x@sha256:" + "0" * 64}})


def test_compose_says_the_baseline() -> None:
    project = yaml.safe_load(rendered()["compose.yaml"])
    for name, service in project["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True
        assert service["mem_limit"] == service["memswap_limit"]
        assert service["command"][0] == "numactl"
        assert service["security_opt"] == ["no-new-privileges", "seccomp:seccomp.json"]
        assert service["restart"] == "no"
        assert "cpuset_mems" not in service
    assert project["services"]["backend"]["network_mode"] == "none"
    assert project["services"]["sdk"]["network_mode"] == "service:backend"


def test_dollars_are_kept_from_composes_variables() -> None:
    service = yaml.safe_load(rendered()["compose.yaml"])["services"]["sdk"]
    assert service["command"][-1] == "-test.run=^$$"
    assert service["environment"]["REPRO_WORKLOAD"] == '{"price":"$$5"}'


def test_compose_and_engine_route_mount_the_same_tmpfs() -> None:
    for tmpfs in (Tmpfs("/tmp", 64 << 20), Tmpfs("/x", 1, executable=True)):
        assert tmpfs_options(tmpfs) == engine_tmpfs_options(tmpfs)


def test_a_line_break_in_a_value_cannot_add_an_instruction() -> None:
    with pytest.raises(ValueError, match="line break"):
        environment().from_string("# {{ title|line }}").render(title="x\nRUN evil")


def test_an_undefined_name_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("compose.yaml.j2", cell="x")


def test_the_seccomp_profile_is_the_default_and_three_calls() -> None:
    folder = resources.images_dir() / "seccomp"
    subprocess.run([sys.executable, folder / "derive.py", "--check"], check=True)
    default = json.loads((folder / "default.json").read_bytes())
    profile = seccomp_profile()
    added = [rule for rule in profile["syscalls"] if rule not in default["syscalls"]]
    assert [rule["names"] for rule in added] == [["get_mempolicy", "mbind", "set_mempolicy"]]
    assert {key: value for key, value in profile.items() if key != "syscalls"} == {
        key: value for key, value in default.items() if key != "syscalls"
    }
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert seccomp_bytes() == (folder / "profile.json").read_bytes()


def test_the_harness_is_injected_into_a_copy_only() -> None:
    entry = load_catalogue().sdk("go-openai")
    target = targets.sdk_target(entry)
    assert b"replace sealbench.org/harness => ../harness" in target.files["src/go.mod"]
    assert "sealbench.org/harness" not in (entry.folder / "go.mod").read_text()
    assert b"DO NOT EDIT" in target.files["src/workload_test.go"]
    assert not any(path.endswith("_test.go") for path in target.files if path != "src/workload_test.go")


def test_every_source_byte_and_the_toolchain_change_the_inputs_digest() -> None:
    target = targets.agent_target()
    files = {**target.files, "src/main.go": target.files["src/main.go"] + b"\n"}
    changed = targets.Target(**{**vars(target), "files": files})
    lock = read_lock()
    other = replace(lock, toolchain=replace(lock.toolchain, tar_sha256="1" * 64))
    assert len({target.inputs_digest(lock), target.inputs_digest(other), changed.inputs_digest(lock)}) == 3


def test_an_entry_with_another_build_has_no_sealed_route_yet() -> None:
    entry = load_catalogue().backend("stub")
    with pytest.raises(CatalogueError, match="build: image"):
        targets.backend_target(type(entry)(**{**vars(entry), "build": "image"}))


def test_derived_profile_digest_is_stable() -> None:
    # Recorded in manifests: a change here must be meant.
    assert (
        hashlib.sha256(seccomp_bytes()).hexdigest()
        == "6837b2cf2eb931a16d177bc1cf0ff39d08d393bed72ec3ca4e97449a02d7854a"
    )


def test_a_backend_in_process_has_no_image_and_no_dockerfile() -> None:
    catalogue = load_catalogue()
    sdk, backend = catalogue.sdk("go-openai"), catalogue.backend("in-process")
    for none in (backend, None):
        assert set(dockerfiles(lock_json(read_lock()), sdk, none)) == {"Dockerfile"}
        assert [recipe.kind for recipe in recipes(sdk, none)] == ["sdk"]
