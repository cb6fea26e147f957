#!/usr/bin/env python3
"""Derives profile.json from default.json: the default of github.com/moby/profiles/seccomp v0.3.0 (Apache-2.0, see
LICENSE),
plus the three system calls that numactl and allocators bound to a memory node need under `cap-drop ALL`.

    python derive.py           writes profile.json
    python derive.py --check   exit 1 when profile.json is not what would be written

To take a newer default: `go mod download -json github.com/moby/profiles/seccomp@vX.Y.Z`, copy default.json and
LICENSE from its
folder, change VERSION and the pinned hash here, run this script, and read the difference.
"""

import hashlib
import json
import sys
from pathlib import Path

VERSION = "v0.3.0"
DEFAULT_SHA256 = "6416b47770785a41ac59073cdc77d9fe98517df2799dc83ef207e622de3053f6"
ADDED = ["get_mempolicy", "mbind", "set_mempolicy"]
HERE = Path(__file__).resolve().parent


def derive(default: bytes) -> bytes:
    """The derived profile's bytes. Raises SystemExit when the default is not the pinned one."""
    found = hashlib.sha256(default).hexdigest()
    if found != DEFAULT_SHA256:
        raise SystemExit(f"default.json is not the one pinned for {VERSION}: sha256 {found}")
    profile = json.loads(default)
    rule = {
        "names": ADDED,
        "action": "SCMP_ACT_ALLOW",
        "comment": "memory policy of the calling process only; without CAP_SYS_NICE no other process can be touched",
    }
    profile["syscalls"].append(rule)
    return (json.dumps(profile, indent="\t", ensure_ascii=True) + "\n").encode()


def main() -> int:
    wanted = derive((HERE / "default.json").read_bytes())
    target = HERE / "profile.json"
    if sys.argv[1:] == ["--check"]:
        return 0 if target.is_file() and target.read_bytes() == wanted else 1
    target.write_bytes(wanted)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
