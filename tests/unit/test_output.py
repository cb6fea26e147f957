"""Data on stdout, talk on stderr."""

from __future__ import annotations

import io
import json

import pytest

from toolkit.errors import HostUnfit
from toolkit.output import Output
from toolkit.schemas import problems

ERROR = HostUnfit("no CPU 7", "there are 0-1", "use --cpus 0")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make(**options: bool) -> tuple[Output, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Output(stdout=out, stderr=err, **options), out, err


def test_data_and_talk_never_mix() -> None:
    output, out, err = make()
    output.data("number")
    output.talk("building")
    output.document({"schema": "x"})
    assert (out.getvalue(), err.getvalue()) == ("number\n", "building\n")


def test_with_json_stdout_holds_the_object_alone() -> None:
    output, out, err = make(json_mode=True)
    output.data("number")
    output.document({"ä": 1})
    output.talk("building")
    assert json.loads(out.getvalue()) == {"ä": 1}
    assert err.getvalue() == "building\n"


def test_quiet_drops_talk_and_keeps_errors() -> None:
    output, out, err = make(quiet=True)
    output.talk("building")
    output.error(ERROR)
    assert out.getvalue() == ""
    assert err.getvalue() == "repro: no CPU 7\n  why: there are 0-1\n  do:  use --cpus 0\n"


@pytest.mark.parametrize(("verbose", "said"), [(True, "more\n"), (False, "")])
def test_details_need_v(verbose: bool, said: str) -> None:
    output, _, err = make(verbose=verbose)
    output.detail("more")
    assert err.getvalue() == said


def test_an_error_is_said_on_both_with_json() -> None:
    output, out, err = make(json_mode=True)
    output.error(ERROR)
    document = json.loads(out.getvalue())
    assert problems(document, "error") == []
    assert document["code"] == 3
    assert "no CPU 7" in err.getvalue()


def test_progress_redraws_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert Output(stderr=Terminal()).live
    assert not Output(stderr=io.StringIO()).live
    assert not Output(stderr=Terminal(), json_mode=True).live
    assert not Output(stderr=Terminal(), quiet=True).live
    monkeypatch.setenv("CI", "1")
    assert not Output(stderr=Terminal()).live
