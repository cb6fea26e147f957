"""``repro verify``: is this archive what it claims, and safe to run? Executes nothing, needs no engine and no Linux."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.common import JsonFlag, QuietFlag, command
from toolkit.verify.names import shown

if TYPE_CHECKING:
    from toolkit.output import Output
    from toolkit.verify.report import Verification
    from toolkit.verify.run import Question
    from toolkit.verify.stages.signature import Expected


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive.")],
    signer: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Whom you believe: a .pub file or an allowed_signers file of OpenSSH."),
    ] = None,
    identity: Annotated[str | None, typer.Option(help="The name that must stand in the --signer file.")] = None,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="What the file itself must hash to.")] = None,
    not_before: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Unsafe if its run began before this day (YYYY-MM-DD) or time, in UTC."),
    ] = None,
    through: Annotated[
        str, typer.Option(metavar="STAGE", help="The last stage to look at, by number or name.")
    ] = "host",
    every_check: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every check, not only a failed one.")
    ] = False,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Check an archive in eight stages without executing anything in it, and say what it is worth."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.verify.run import verify as check

        question = question_of(file, sha256, signer, identity, not_before=not_before, through=_stage(through))
        found = check(question)
        output.document(found.to_json())
        print_stages(found, output, every_check=every_check)
        print_answer(found, file, signer, output)
        if found.exit_code:
            raise typer.Exit(found.exit_code)


def question_of(
    file: Path,
    sha256: str | None,
    signer: Path | None,
    identity: str | None = None,
    *,
    not_before: str | None = None,
    through: int | None = None,
) -> Question:
    """What the options of a command ask of an archive. Raises UsageError."""
    from toolkit.verify.run import LAST, Question

    return Question(
        file,
        transport_digest(sha256),
        expected_signers(signer, identity),
        LAST if through is None else through,
        moment(not_before),
    )


def moment(text: str | None) -> str | None:
    """A day or a time in the form in which a run's id begins, ``20261125-190457``. Raises UsageError."""
    from datetime import UTC, datetime

    from toolkit.errors import UsageError

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as problem:
        raise UsageError(
            f"--not-before {text} is no date", str(problem), "it takes 2026-11-25, or 2026-11-25T19:04:57Z"
        ) from problem
    return f"{found.astimezone(UTC) if found.tzinfo else found:%Y%m%d-%H%M%S}"


def transport_digest(text: str | None) -> str | None:
    from toolkit.errors import UsageError

    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError("--sha256 is no digest", "it has 64 hex digits", "sha256sum FILE prints it")
    return text.lower() if text is not None else None


def expected_signers(signer: Path | None, identity: str | None) -> Expected | None:
    from toolkit.archive.keys import read_signers
    from toolkit.errors import UsageError
    from toolkit.verify.stages.signature import Expected

    if signer is None and identity is not None:
        raise UsageError("--identity alone says nothing", "a name is looked for in a list", "add --signer FILE")
    return Expected(read_signers(signer), identity) if signer is not None else None


def _stage(text: str) -> int:
    from toolkit.errors import UsageError
    from toolkit.verify.report import STAGES

    if text in STAGES:
        return STAGES.index(text)
    if text.isdecimal() and int(text) < len(STAGES):
        return int(text)
    raise UsageError(
        f"--through {text} is no stage", "", f"there are {', '.join(f'{n} {name}' for n, name in enumerate(STAGES))}"
    )


def print_stages(found: Verification, output: Output, *, every_check: bool) -> None:
    """One line per stage; the checks themselves where one failed, or all with ``every_check``."""
    for stage in found.stages:
        counted = "" if stage.verdict != "verified" else f", {_count(len(stage.checks), 'check')}"
        output.data(f"{stage.n} {stage.name}: {stage.verdict}{counted}")
        for check in stage.checks:
            if not check.ok:
                output.data(f"    NO {check.what}: expected {check.expected}, found {check.found}")
            elif every_check:
                output.data(f"    ok {check.what}: {check.found}")
            elif stage.name == "host":
                output.data(f"    {check.found}")
    for warning in found.warnings:
        output.data(f"warning: {warning}")
    for difference in found.differences:
        output.data(f"departure from the baseline: {difference}")


def print_answer(found: Verification, file: Path, signer: Path | None, output: Output) -> None:
    """What it is, whose it is, and what to type next."""
    from toolkit.units import size
    from toolkit.verify.report import STAGES

    archive, last = found.archive, found.stages[-1]
    if "sha256" in archive:
        output.data(f"\nfile: {size(archive['size_bytes'])}, {archive['members']} files, sha256 {archive['sha256']}")
    if archive["run"]:
        left_out = "".join(f", without {part}" for part in archive["without"])
        output.data(f"run: {archive['run']}{left_out}")
    author = {
        "verified": f"signed by a key that you named, {found.signer}",
        "unverified": f"signed by {found.signer}, a key that only the archive names: compare it with the author's",
        "unsigned": "unsigned: nobody can tell who made it",
    }[found.author]
    if last.n < STAGES.index("signature") + (found.verdict != "verified"):
        author = "not known: the signature was not reached, or does not hold"
    so_far = (
        "" if found.verdict != "verified" or last.n == len(STAGES) - 1 else f" through stage {last.n} ({last.name})"
    )
    output.data(f"verdict: {found.verdict}{so_far}; author: {author}")
    output.data(_next(found, file, signer, so_far=so_far))


def _next(found: Verification, file: Path, signer: Path | None, *, so_far: str) -> str:
    if found.verdict == "malformed" and found.stages[-1].n == 0:
        return "next: name a file that 'repro archive' wrote; nothing in this one was executed"
    if found.verdict != "verified":
        return "next: ask for the file again and compare its sha256 with the author's; nothing in it was executed"
    if so_far:
        return f"next: repro verify {_word(file)}"
    if "images" in found.archive["without"]:
        return f"next: repro diff RUN {_word(file)}; it holds no images, so it cannot be run"
    trust = {
        "verified": f" --signer {_word(signer)}",
        "unverified": " --signer THEIR.pub",
        "unsigned": " --accept-unverified",
    }
    allowed = "".join(f" --allow {name}" for name in dict.fromkeys(one.split(":")[0] for one in found.differences))
    return f"next: repro rerun {_word(file)}{trust[found.author]}{allowed}"


def _word(path: Path | None) -> str:
    """A path as a shell takes it; controls in it are escaped, for whoever made the archive may have named it."""
    text = str(path)
    return shlex.quote(text if text.isprintable() else shown(text))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
