"""``repro archive``: a sealed run as one file for a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.common import DEFAULT_RUNS, JsonFlag, QuietFlag, RunsOption, StoreOption, command

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from toolkit.archive.make import Contents
    from toolkit.output import Output


def archive(
    run: Annotated[str, typer.Argument(help="A run: its folder, its id, the end of its id, or 'last'.")] = "last",
    output_file: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file (default: <run>.tar.zst here).")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave out 'images' or 'inputs'; repeat it. Stated inside.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign with this Ed25519 private key (ssh-keygen -t ed25519).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would hold, and write nothing.")] = False,
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Put a run into one file that a stranger can check, run again with plain Docker, and rebuild."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.archive.make import contents
        from toolkit.archive.pack import write_archive
        from toolkit.fetch.store import Store
        from toolkit.launch.folder import resolve_run

        left_out = _without(without or [])
        folder = resolve_run(runs, run)
        target = output_file or Path(f"{folder.id}.tar.zst")
        signer = _signer(key)
        made = contents(folder, Store.open(store), without=left_out, key=signer, report=output.talk)
        if not dry_run:
            write_archive(target, made.members, overwrite=overwrite)
        _report(made, target, signer, output, dry_run=dry_run)


def _without(words: list[str]) -> list[str]:
    from toolkit.archive.layout import PARTS
    from toolkit.errors import UsageError

    unknown = [word for word in words if word not in PARTS]
    if unknown:
        raise UsageError(f"--without {unknown[0]} is not known", "", f"it takes {' or '.join(PARTS)}")
    return sorted(set(words))


def _signer(key: Path | None) -> Ed25519PrivateKey | None:
    from getpass import getpass

    from toolkit.archive.keys import read_private_key

    return read_private_key(key, lambda: getpass(f"Passphrase of {key}: ").encode()) if key is not None else None


def _report(made: Contents, target: Path, signer: Ed25519PrivateKey | None, output: Output, *, dry_run: bool) -> None:
    from toolkit.archive.sshsig import fingerprint
    from toolkit.canonical import sha256_file
    from toolkit.units import size

    print_of_key = fingerprint(signer.public_key().public_bytes_raw()) if signer is not None else None
    content = sum(member.size_bytes for member in made.members)
    written = not dry_run
    document = {
        "schema": "repro.archive-report/1",
        "path": str(target),
        "run": made.index["run"]["id"],
        "sha256": sha256_file(target) if written else "",
        "size_bytes": target.stat().st_size if written else 0,
        "content_bytes": content,
        "members": len(made.members),
        "without": made.index["without"],
        "signer": print_of_key,
        "warnings": list(made.warnings),
    }
    output.document(document)
    for warning in made.warnings:
        output.talk(f"WARNING: {warning}")
    if dry_run:
        output.data(f"{target} would hold {len(made.members)} files, {size(content)} before compression")
        return
    output.data(
        f"{target}: {size(document['size_bytes'])}, {len(made.members)} files, {size(content)} before compression"
    )
    output.data(f"sha256 {document['sha256']}")
    output.data(f"signed by {print_of_key}" if print_of_key else "unsigned: nobody can tell who made it (--key FILE)")
    output.data(f"next: repro verify {target}")
