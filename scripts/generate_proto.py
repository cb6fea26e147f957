"""Generates ``toolkit/proto/agent_pb2*.py`` from ``agent.proto``; the output is committed.

    python scripts/generate_proto.py          # write
    python scripts/generate_proto.py --check  # compare, exit 1 when the committed files are not current

Code made by a newer compiler never runs on an older runtime, and newer compilers write a version check into it that
fails two majors on. So the compiler is pinned to the oldest that serves all our Pythons, in an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

COMPILER = ("grpcio-tools==1.62.3", "protobuf==4.25.8", "setuptools<80")
COMPILER_PYTHON = "3.11"
FILES = ("agent_pb2.py", "agent_pb2.pyi", "agent_pb2_grpc.py")
PACKAGE = Path(__file__).resolve().parent.parent / "toolkit" / "proto"


def generate(target: Path) -> None:
    """Write the generated files into ``target``; raises CalledProcessError when the compiler fails."""
    source = PACKAGE / "agent.proto"
    flags = [f"--{kind}={target}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    tools = [flag for package in COMPILER for flag in ("--with", package)]
    run = ["uv", "run", "--no-project", "--isolated", "--python", COMPILER_PYTHON, *tools]
    subprocess.run(
        [*run, "python", "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{PACKAGE}", *flags, str(source)], check=True
    )
    stub = target / "agent_pb2_grpc.py"
    text = stub.read_text(encoding="utf-8")
    # protoc knows no Python packages: the import must be of our package, not of a module on the search path.
    stub.write_text(text.replace("import agent_pb2 as", "from toolkit.proto import agent_pb2 as"), encoding="utf-8")


def main() -> int:
    """Generate or compare."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {name: (Path(folder) / name).read_bytes() for name in FILES}
    if "--check" not in sys.argv[1:]:
        for name, content in fresh.items():
            (PACKAGE / name).write_bytes(content)
        return 0
    stale = [name for name in FILES if not (PACKAGE / name).exists() or (PACKAGE / name).read_bytes() != fresh[name]]
    for name in stale:
        print(f"toolkit/proto/{name} is not what scripts/generate_proto.py makes of agent.proto", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
