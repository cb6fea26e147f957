"""Stages 3 and 4: the two manifests read strictly, and every file of the archive held against them."""

from __future__ import annotations

from typing import Any

from toolkit import schemas
from toolkit.archive import layout
from toolkit.verify.names import shown
from toolkit.verify.report import Refused, Stage
from toolkit.verify.scan import Member, Scan
from toolkit.verify.strict import strict_json

_WEAK = ("md5", "sha1")
_REMOTE = ("url", "urls", "uri", "href")
_RUN_DOCUMENTS = {"run/manifest.json": "manifest", "run/plan.json": "plan", "run/setup.json": "setup"}


def check_manifests(stage: Stage, scan: Scan) -> dict[str, Any]:
    """The index, and the run's manifest under the key ``manifest``. Raises Refused."""
    index = _index(stage, scan)
    found = {"index": index}
    for name, schema in _RUN_DOCUMENTS.items():
        data = scan.documents.get(name)
        if data is None:
            raise Refused(3, "incomplete", name, "in the archive", "missing")
        document = strict_json(data, name, 3)
        problems = schemas.problems(document, schema)
        stage.require(
            not problems,
            f"the shape of {name}",
            f"schema {schema}",
            shown("; ".join(problems[:3])) or "it",
            verdict="malformed",
        )
        found[schema] = document
    manifest = found["manifest"]
    stage.require(
        manifest["run"] == index["run"]["id"],
        "the run's id in both manifests",
        shown(index["run"]["id"]),
        shown(manifest["run"]),
    )
    return found


def _index(stage: Stage, scan: Scan) -> dict[str, Any]:
    index = strict_json(scan.documents[layout.INDEX], layout.INDEX, 3, canonical=True)
    if not isinstance(index, dict):
        raise Refused(3, "malformed", layout.INDEX, "an object", type(index).__name__)
    _known_version(index)
    _strong(index)
    problems = schemas.problems(index, "archive")
    stage.require(
        not problems,
        f"the shape of {layout.INDEX}",
        "schema archive",
        shown("; ".join(problems[:3])) or "it",
        verdict="malformed",
    )
    names = {name for name in index["files"] if name in (layout.INDEX, layout.SIGNATURE)}
    stage.require(
        not names,
        f"what {layout.INDEX} lists",
        "not itself",
        ", ".join(sorted(names)) or "not itself",
        verdict="malformed",
    )
    return index


def _known_version(index: dict[str, Any]) -> None:
    version = index.get("schema_version")
    if type(version) is not int:
        raise Refused(3, "malformed", "schema_version", "a whole number", shown(repr(version)))
    if version != layout.SCHEMA_VERSION or index.get("schema") != layout.SCHEMA:
        newer = version > layout.SCHEMA_VERSION
        remedy = "a newer version of repro wrote it" if newer else "no version of repro wrote it"
        raise Refused(
            3,
            "malformed",
            "the archive's schema",
            layout.SCHEMA,
            f"{shown(str(index.get('schema')))}, version {version}: {remedy}",
        )


def _strong(index: dict[str, Any]) -> None:
    """A list with weak digests alone is no weaker list but an attack (a downgrade)."""
    rows = index.get("files")
    for name, row in rows.items() if isinstance(rows, dict) else ():
        if isinstance(row, dict) and "sha256" not in row and any(weak in row for weak in _WEAK):
            raise Refused(3, "unsafe", f"the digest of {shown(str(name))}", "sha256", "a broken hash alone")
        if isinstance(row, dict) and any(word in row for word in _REMOTE):
            raise Refused(3, "unsafe", f"where {shown(str(name))} is", "in the archive", "somewhere else")


def check_content(stage: Stage, scan: Scan, documents: dict[str, Any]) -> None:
    """Every listed file there, with its bytes; no other. Raises Refused."""
    index, manifest = documents["index"], documents["manifest"]
    listed = index["files"]
    present = {name: member for name, member in scan.members.items() if name not in (layout.INDEX, layout.SIGNATURE)}
    missing, strangers = sorted(set(listed) - set(present)), sorted(set(present) - set(listed))
    stage.require(not missing, "files that are listed", "all there", _few(missing) or "all there", verdict="incomplete")
    stage.require(not strangers, "files that are not listed", "none", _few(strangers) or "none")
    wrong = [name for name, row in listed.items() if _differs(present[name], row["sha256"], row["size_bytes"])]
    stage.require(not wrong, f"the bytes of {len(listed)} files", "their sha256 and size", _few(wrong) or "equal")
    mode = [name for name, member in present.items() if (member.mode == layout.PROGRAM_MODE) != (name == layout.RERUN)]
    stage.require(not mode, "files that may be executed", layout.RERUN, _few(mode) or layout.RERUN)
    _run_content(stage, scan, index, manifest)


def _run_content(stage: Stage, scan: Scan, index: dict[str, Any], manifest: dict[str, Any]) -> None:
    """The run folder is the one that its own manifest describes, and the manifest the one that the index names."""
    digest = scan.members[layout.RUN_MANIFEST].sha256
    stage.require(
        digest == index["run"]["manifest_sha256"], "the run's manifest", index["run"]["manifest_sha256"], digest
    )
    rows = manifest["files"]
    missing = sorted(name for name in rows if layout.RUN + name not in scan.members)
    stage.require(not missing, "the run's files", "all there", _few(missing) or "all there", verdict="incomplete")
    wrong = [
        name
        for name, row in rows.items()
        if _differs(scan.members[layout.RUN + name], row["sha256"], row["size_bytes"])
    ]
    stage.require(not wrong, f"the run's {len(rows)} files", "those of its manifest", _few(wrong) or "equal")
    own = {layout.RUN_MANIFEST, f"{layout.RUN_MANIFEST}.sha256", *(layout.RUN + name for name in rows)}
    extra = sorted(name for name in scan.members if name.startswith(layout.RUN) and name not in own)
    stage.require(not extra, "files in run/ that its manifest does not list", "none", _few(extra) or "none")


def _differs(member: Member, sha256: str, size: int) -> bool:
    return member.sha256 != sha256 or member.size != size


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown(name) for name in names[:3]) + more
