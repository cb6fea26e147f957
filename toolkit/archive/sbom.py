"""The bill of materials of a run's images as SPDX 2.3 (ISO/IEC 5962), from the lock alone: no scanner, no network.

Packages are what the lock pins by digest; the images contain them. A ``go test -c`` binary carries no module list, so
the lock is the better witness.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.archive.inputs import Input
from toolkit.canonical import digest
from toolkit.model.inputs import BuiltImage

_PURL = {"package": "pkg:deb/debian/{name}@{version}?arch=amd64", "module": "pkg:golang/{name}@{version}"}
_NONE = "NOASSERTION"


def spdx(run: str, created: str, version: str, images: Sequence[BuiltImage], inputs: Sequence[Input]) -> dict[str, Any]:
    """The SPDX document. ``created``: ISO 8601 UTC, of the run and not of now: same run, same bytes."""
    packages = _packages(inputs)
    described = [_image(image) for image in images]
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", one["SPDXID"]) for one in described]
    relations += [
        _relation(image["SPDXID"], "GENERATED_FROM", one["SPDXID"]) for image in described for one in packages
    ]
    body = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": run,
        "creationInfo": {"created": created, "creators": [f"Tool: sealbench-{version}"]},
        "packages": [*described, *packages],
        "relationships": relations,
    }
    return {**body, "documentNamespace": f"https://sealbench.org/spdx/{digest(body).removeprefix('sha256:')}"}


def _packages(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """One package per name and version: the files of a module (.zip, .mod, .info) are one package."""
    found: dict[tuple[str, str, str], Input] = {}
    for one in inputs:
        key = (one.kind, one.name, one.version)
        if one.kind != "source" and (key not in found or one.filename.endswith(".zip")):
            found[key] = one
    return [_package(one) for _key, one in sorted(found.items())]


def _package(one: Input) -> dict[str, Any]:
    row: dict[str, Any] = {
        "SPDXID": _identifier(one.kind, one.name, one.version),
        "name": one.name,
        "versionInfo": one.version,
        "packageFileName": one.filename,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
        "checksums": [{"algorithm": "SHA256", "checksumValue": one.sha256}],
    }
    if one.kind in _PURL:
        locator = _PURL[one.kind].format(name=one.name.lower(), version=one.version.replace("+", "%2B"))
        row["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
        ]
    return row


def _image(image: BuiltImage) -> dict[str, Any]:
    return {
        "SPDXID": _identifier("image", image.kind, image.id),
        "name": image.reference,
        "versionInfo": image.identity.config_digest,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
        "checksums": [{"algorithm": "SHA256", "checksumValue": image.identity.config_digest.removeprefix("sha256:")}],
    }


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _identifier(*words: str) -> str:
    return "SPDXRef-" + "-".join(re.sub(r"[^A-Za-z0-9.-]", "-", word) for word in words if word)


def provenance(
    images: Sequence[BuiltImage], inputs: Sequence[Input], lock: Mapping[str, Any], version: str
) -> dict[str, Any]:
    """An in-toto Statement v1 with SLSA provenance v1 for the images.

    A local build attests for itself: that is SLSA Build L1 and no more.
    """
    commands = {
        f"{cell}:{key}": {"command": target["command"], "environment": target.get("environment", {})}
        for cell, found in sorted(lock["cells"].items())
        for key, target in sorted(found["targets"].items())
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": image.reference, "digest": {"sha256": image.identity.config_digest.removeprefix("sha256:")}}
            for image in images
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://sealbench.org/build/sealed/v1",
                "externalParameters": {"targets": commands},
                "resolvedDependencies": [
                    {"name": one.filename, "digest": {"sha256": one.sha256}} for one in inputs if one.kind != "source"
                ]
                + [
                    {"name": f"source/{one.filename}", "digest": {"sha256": one.sha256}}
                    for one in inputs
                    if one.kind == "source"
                ],
            },
            "runDetails": {"builder": {"id": "https://sealbench.org/builder/local", "version": {"sealbench": version}}},
        },
    }
