"""``repro show``: a sealed run again. Needs no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.common import DEFAULT_RUNS, JsonFlag, QuietFlag, RunsOption, command
from toolkit.output import Output

if TYPE_CHECKING:
    from toolkit.launch.folder import RunFolder


def show(
    run: Annotated[str, typer.Argument(help="A run: its folder, its id, the end of its id, or 'last'.")] = "last",
    runs: RunsOption = DEFAULT_RUNS,
    joint: Annotated[
        bool, typer.Option("--joint", help="Several metrics window by window: correlations and fault patterns.")
    ] = False,
    rule: Annotated[
        str | None, typer.Option("--rule", help="With --joint, which windows count: zero-gc (default) or article-2024.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="With --joint, how much each counts: equal (default), article-2024.")
    ] = None,
    window: Annotated[
        float | None, typer.Option("--window", help="With --joint: cut the journals into windows of so many seconds.")
    ] = None,
    with_tainted: Annotated[
        bool, typer.Option("--with-tainted", help="With --joint: windows with interference count too.")
    ] = False,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show a run again. Grade, launches, limits that did not hold, and the numbers with their conditions."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.launch.folder import resolve_run

        given = {"--rule": rule, "--weights": weights, "--window": window, "--with-tainted": with_tainted or None}
        if not joint:
            _refuse([name for name, value in given.items() if value is not None])
            _show(readable(resolve_run(runs, run)), output)
            return
        from toolkit.analyse.joint import DEFAULT_RULE, DEFAULT_WEIGHTS
        from toolkit.report.joint import JointOptions, check_options, joint_document
        from toolkit.report.joint_text import show_joint

        options = JointOptions(rule or DEFAULT_RULE, weights or DEFAULT_WEIGHTS, window, with_tainted)
        check_options(options)
        document = joint_document(readable(resolve_run(runs, run)), options)
        output.document(document)
        show_joint(document, output)


def readable(folder: RunFolder) -> RunFolder:
    """The run; sealed here and now where ``rerun.sh`` of an archive left it."""
    from toolkit.seal import seal_plain

    seal_plain(folder)
    return folder


def _refuse(names: list[str]) -> None:
    if names:
        from toolkit.errors import UsageError

        raise UsageError(f"{names[0]} without --joint", "it chooses windows of the joint analysis", "add --joint")


def _show(folder: RunFolder, output: Output) -> None:
    from toolkit.report.document import show_document
    from toolkit.report.terminal import show_run
    from toolkit.seal import read_plan

    document = show_document(folder)
    output.document(document)
    show_run(document, read_plan(folder), output)
