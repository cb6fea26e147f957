"""Stage 5: the images, by their own bytes, before any engine sees them.

An engine loads an edited configuration, moves a local tag, takes a second image along and does not read a layer whose
diff id it already holds (reference: supply chain, section 2). So all of that is decided here.
"""

from __future__ import annotations

from typing import Any

from toolkit.archive import layout
from toolkit.archive.oci import LAYOUT_DOCUMENT, index_document, index_row, legacy_row, manifest_of
from toolkit.build.assemble import reference
from toolkit.canonical import canonical_bytes, digest_bytes
from toolkit.verify.names import shown
from toolkit.verify.report import Refused, Stage
from toolkit.verify.scan import Scan
from toolkit.verify.strict import strict_json

Json = dict[str, Any]


def check_images(stage: Stage, scan: Scan, documents: dict[str, Any]) -> list[str]:
    """Warnings for the reviewer; ``documents`` learns for which platform each image is. Raises Refused."""
    index, manifest = documents["index"], documents["manifest"]
    if "images" in index["without"]:
        there = [name for name in scan.members if name.startswith(layout.IMAGES)]
        stage.require(
            not there, "images", "none: the archive is without them", f"{len(there)} files" if there else "none"
        )
        return ["the archive holds no images: it can be read, not re-run"]
    _named_by_content(stage, scan)
    _launched(stage, index, manifest)
    rows = [_image(stage, scan, image) for image in index["images"]]
    _lists(stage, scan, index, rows)
    documents["platforms"] = {image["reference"]: _platform(scan, image) for image in index["images"]}
    return [note for image in index["images"] for note in _notes(scan, image)]


def _named_by_content(stage: Stage, scan: Scan) -> None:
    wrong = [
        name
        for name, one in scan.members.items()
        if name.startswith(layout.BLOBS) and name != layout.BLOBS + one.sha256
    ]
    stage.require(not wrong, "image blobs", "named by their sha256", shown(", ".join(wrong[:3])) or "so named")


def _launched(stage: Stage, index: Json, manifest: Json) -> None:
    """The images are those that the run's manifest says were started."""
    keys = ("config_digest", "content_digest", "runtime_config_digest")
    mine = {one["reference"]: [one[key] for key in keys] + list(one["diff_ids"]) for one in index["images"]}
    run = {one["reference"]: [one[key] for key in keys] + list(one["diff_ids"]) for one in manifest["images"]}
    stage.require(mine == run, "the images", "those of the run's manifest", "the same" if mine == run else "others")


def _image(stage: Stage, scan: Scan, image: Json) -> Json:
    """Check one image; its OCI manifest."""
    name = shown(image["reference"])
    expected = reference(image["kind"], image["id"], image["config_digest"])
    stage.require(
        image["reference"] == expected,
        f"the name of {name}",
        f"derived from its content: {shown(expected)}",
        name,
        verdict="unsafe",
    )
    config = _config(stage, scan, image)
    diff_ids = config.get("rootfs", {}).get("diff_ids") if isinstance(config.get("rootfs"), dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(image["diff_ids"]):
        raise Refused(
            5, "malformed", f"the layers of {name}", f"{len(image['diff_ids'])} diff ids", shown(str(diff_ids))
        )
    stage.require(
        diff_ids == image["diff_ids"],
        f"the diff ids of {name}",
        "those of the index",
        "the same" if diff_ids == image["diff_ids"] else "others",
    )
    runtime = digest_bytes(canonical_bytes(config.get("config") or {}))
    stage.require(
        runtime == image["runtime_config_digest"], f"how {name} runs", image["runtime_config_digest"], runtime
    )
    sizes = [_layer(stage, scan, name, diff) for diff in image["diff_ids"]]
    return _manifest(stage, scan, image, sizes)


def _config(stage: Stage, scan: Scan, image: Json) -> Json:
    path = layout.blob(image["config_digest"])
    data = scan.documents.get(path)
    if data is None:
        raise Refused(
            5,
            "incomplete",
            f"the configuration of {shown(image['reference'])}",
            image["config_digest"],
            "missing, or too large",
        )
    config = strict_json(data, "an image's configuration", 5)
    if not isinstance(config, dict):
        raise Refused(5, "malformed", "an image's configuration", "an object", type(config).__name__)
    stage.held(f"the configuration of {shown(image['reference'])}", image["config_digest"])
    return config


def _platform(scan: Scan, image: Json) -> str:
    """``linux/amd64``, as the configuration, which was read before, has it."""
    config = strict_json(scan.documents[layout.blob(image["config_digest"])], "an image's configuration", 5)
    return f"{config.get('os')}/{config.get('architecture')}"


def _layer(stage: Stage, scan: Scan, name: str, diff_id: str) -> int:
    path = layout.blob(diff_id)
    member, walk = scan.members.get(path), scan.layers.get(path)
    if member is None or walk is None:
        raise Refused(5, "incomplete", f"a layer of {name}", diff_id, "missing")
    problem = walk.end()
    if walk.unsafe:
        raise Refused(
            5, "unsafe", f"a layer of {name}", "plain files below its root, of the size they say", walk.unsafe
        )
    stage.require(not problem, f"the layer {diff_id[:19]} of {name}", "one whole tar", problem or "one whole tar")
    return member.size


def _manifest(stage: Stage, scan: Scan, image: Json, sizes: list[int]) -> Json:
    """The image's OCI manifest must be the one that follows from configuration and layers."""
    config = layout.blob(image["config_digest"])
    data = canonical_bytes(manifest_of(image["config_digest"], scan.members[config].size, image["diff_ids"], sizes))
    digest = digest_bytes(data)
    there = layout.blob(digest) in scan.members
    stage.require(
        there, f"the OCI manifest of {shown(image['reference'])}", digest, digest if there else "another, or none"
    )
    return index_row(image["reference"], digest, len(data))


def _lists(stage: Stage, scan: Scan, index: Json, rows: list[Json]) -> None:
    """Both lists of images, byte for byte, and no blob that none of them needs."""
    legacy = [legacy_row(one["reference"], one["config_digest"], one["diff_ids"]) for one in index["images"]]
    for path, document in (
        (layout.IMAGES_INDEX, index_document(rows)),
        (layout.IMAGES_LEGACY, legacy),
        (layout.IMAGES_LAYOUT, LAYOUT_DOCUMENT),
    ):
        data = scan.documents.get(path)
        if data is None:
            raise Refused(5, "incomplete", path, "in the archive", "missing")
        _no_other_tags(path, data, index)
        stage.require(
            data == canonical_bytes(document),
            path,
            "lists exactly the archive's images",
            "it does" if data == canonical_bytes(document) else "it differs",
        )
    wanted = {layout.blob(row["digest"]) for row in rows}
    for image in index["images"]:
        wanted |= {layout.blob(image["config_digest"]), *(layout.blob(diff) for diff in image["diff_ids"])}
    own = {layout.IMAGES_INDEX, layout.IMAGES_LEGACY, layout.IMAGES_LAYOUT}
    extra = [name for name in scan.members if name.startswith(layout.IMAGES) and name not in wanted | own]
    stage.require(not extra, "files in images/ that no image needs", "none", shown(", ".join(extra[:3])) or "none")


def _no_other_tags(path: str, data: bytes, index: Json) -> None:
    """A tag of somebody else's in the legacy list would be moved by the engine: that is worse than a difference."""
    if path != layout.IMAGES_LEGACY:
        return
    rows = strict_json(data, path, 5)
    mine = {one["reference"] for one in index["images"]}
    for row in rows if isinstance(rows, list) else ():
        tags = row.get("RepoTags") if isinstance(row, dict) else None
        paths = [row.get("Config"), *(row.get("Layers") or [])] if isinstance(row, dict) else []
        if any(".." in str(one).split("/") or str(one).startswith("/") for one in paths):
            raise Refused(5, "unsafe", path, "paths within images/", "a path that leaves it")
        for tag in tags if isinstance(tags, list) else ():
            if tag not in mine:
                raise Refused(5, "unsafe", path, "names of ours only", shown(str(tag)))


def _notes(scan: Scan, image: Json) -> list[str]:
    name = shown(image["reference"])
    notes = [f"{name}: {note}" for diff in image["diff_ids"] for note in scan.layers[layout.blob(diff)].notes]
    return list(dict.fromkeys(notes))
