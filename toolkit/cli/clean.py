"""``repro clean``: what killed commands left behind; on request our images and the store. Only what is ours; asks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import DEFAULT_RUNS, JsonFlag, QuietFlag, RunsOption, command
from toolkit.errors import Reported, ReproError, UsageError
from toolkit.output import error_document

if TYPE_CHECKING:
    from toolkit.engine.port import Engine
    from toolkit.errors import EngineError
    from toolkit.output import Output


@dataclass(frozen=True)
class Step:
    """One thing that would go: its kind for scripts, what it is in words, and how it goes."""

    kind: str
    what: str
    do: Callable[[], object]


def clean(
    images: Annotated[bool, typer.Option("--images", help="Also remove the images we built from the engine.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Also delete the content store ($REPRO_STORE).")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")] = False,
    runs: RunsOption = DEFAULT_RUNS,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Remove what killed commands left behind. Containers and sockets go, runs are sealed; asks first."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        problem: ReproError | None
        engine, problem = _engine()
        steps = [*(container_steps(engine) if engine else []), *run_steps(runs), *socket_steps()]
        steps += image_steps(engine) if images and engine else []
        steps += store_steps() if store else []
        for line in [step.what for step in steps] or ["nothing to clean"]:
            output.data(line)
        agreed = bool(steps) and not dry_run and (yes or _agreed(output))
        if agreed:
            problem = _do(steps) or problem
        if steps and not dry_run:
            output.talk("done" if agreed else "nothing was done")
        _finish(steps, agreed, problem, output)


def _engine() -> tuple[Engine | None, EngineError | None]:
    from toolkit.engine.docker import connect
    from toolkit.errors import EngineError

    try:
        return connect(), None
    except EngineError as problem:
        # The rest can be cleaned without it; that containers could not even be looked for is said at the end.
        return None, problem


def container_steps(engine: Engine) -> list[Step]:
    """Containers whose command is provably dead."""
    from toolkit.engine.port import LABEL_ROLE, LABEL_RUN
    from toolkit.launch.orphans import orphans

    return [
        Step(
            "container",
            f"{one.labels.get(LABEL_ROLE, 'a')} container of run {one.labels.get(LABEL_RUN, '?')}",
            lambda one=one: engine.remove(one.id),  # type: ignore[misc]
        )
        for one in orphans(engine)
    ]


def run_steps(runs: Path) -> list[Step]:
    """Runs that were cut off."""
    from toolkit.seal import dead_runs, seal

    return [Step("run", f"seal run {one.id}", lambda one=one: seal(one, "recovered")) for one in dead_runs(runs)]  # type: ignore[misc]


def socket_steps() -> list[Step]:
    """Socket folders of collectors that were killed."""
    import shutil

    from toolkit.collect.socket_folder import abandoned_folders

    return [
        Step("socket", f"socket folder {one}", lambda one=one: shutil.rmtree(one, ignore_errors=True))  # type: ignore[misc]
        for one in abandoned_folders()
    ]


def image_steps(engine: Engine) -> list[Step]:
    """Images that carry our label and our name."""
    from toolkit.engine.port import LABEL_KIND

    names = [name for name in engine.image_names(LABEL_KIND) if name.startswith("sealbench/")]
    return [Step("image", f"image {name}", lambda name=name: engine.remove_image(name)) for name in names]  # type: ignore[misc]


def store_steps() -> list[Step]:
    """The content store. Raises UsageError for a folder that does not carry the mark of a store of ours."""
    from toolkit.fetch.store import CACHE_TAG, delete_store, store_root

    root = store_root()
    if not root.exists():
        return []
    if not (root / CACHE_TAG).is_file():
        raise UsageError(
            f"{root} is not deleted: it does not carry the mark of a store",
            f"there is no {CACHE_TAG} in it, so it may hold files of yours",
            "look into it; delete it yourself if all of it is ours",
        )
    return [Step("store", f"content store {root}", lambda: delete_store(root))]


def _do(steps: list[Step]) -> ReproError | None:
    """Take every step; the first error, if there was any. One that fails does not keep the others from being taken."""
    first: ReproError | None = None
    for step in steps:
        try:
            step.do()
        except ReproError as problem:
            first = first or problem
    return first


def _finish(steps: list[Step], done: bool, problem: ReproError | None, output: Output) -> None:
    document: dict[str, Any] = {
        "schema": "repro.clean/1",
        "done": done,
        "steps": [{"kind": one.kind, "what": one.what} for one in steps],
    }
    if problem is None:
        output.document(document)
        return
    output.document({**document, "error": error_document(problem)})
    raise Reported(problem)


def _agreed(output: Output) -> bool:
    """Ask, on a terminal only. Raises UsageError elsewhere: nobody is there to answer."""
    if not (sys.stdin.isatty() and output.stderr.isatty()):
        raise UsageError(
            "clean asks before it removes anything",
            "there is no terminal to ask on",
            "add --yes, or --dry-run to only look",
        )
    output.stderr.write("go on? [y/N] ")
    output.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
