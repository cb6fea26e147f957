"""The committed code of the agent's protocol is what ``agent.proto`` says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

from toolkit.proto import agent_pb2

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit" / "proto"


def test_the_generated_code_has_the_descriptor_of_the_proto_file(tmp_path: Path) -> None:
    target = tmp_path / "set.bin"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PACKAGE}",
        f"--descriptor_set_out={target}",
        "agent.proto",
    ]
    subprocess.run(command, check=True, cwd=PACKAGE)
    wanted = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file[0]
    found = descriptor_pb2.FileDescriptorProto()
    agent_pb2.DESCRIPTOR.CopyToProto(found)
    for message in wanted.message_type:
        for field in message.field:
            field.ClearField("json_name")
    assert found == wanted


def test_the_generated_code_asks_for_no_newer_runtime() -> None:
    # Code of newer compilers checks the runtime's version and fails two majors on; ours must not.
    assert "runtime_version" not in (PACKAGE / "agent_pb2.py").read_text()


def test_the_go_side_was_made_of_the_same_file() -> None:
    generated = PACKAGE.parents[1] / "images" / "agent" / "internal" / "pb" / "agent.pb.go"
    text = generated.read_text()
    for message in agent_pb2.DESCRIPTOR.message_types_by_name.values():
        assert f"type {message.name} struct" in text
        for field in message.fields:
            assert f"name={field.name}," in text, f"{message.name}.{field.name}"
