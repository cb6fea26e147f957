"""The verifier against itself: each of its checks taken out, every byte of an archive flipped, every parser fuzzed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.archives import ROOT, Author, author
from toolkit.archive import sshsig
from toolkit.verify.report import EXIT_CODES, Refused
from toolkit.verify.run import Question, verify
from toolkit.verify.strict import strict_json
from toolkit.verify.yamlread import strict_yaml

VERIFY = ROOT / "toolkit" / "verify"
PASS_SECONDS = 40.0
FUZZ_SECONDS = float(os.environ.get("REPRO_FUZZ_SECONDS", "60"))

# Checks that no file of this test can decide alone, by file and a word of theirs, and what stands behind each.
BACKED_UP = {
    ("report.py", ""): "what every check of the kind goes through",
    ("run.py", "the sha256 of the file"): "an option: tests/simulated/test_hostile.py",
    ("run.py", "when the run began"): "an option: test_063_ of tests/simulated/test_hostile_use.py",
    ("unpack.py", ""): "an archive that changes between two reads: tests/unit/test_unpack.py",
    ("layers.py", "MAX_FILES"): "a million headers: tests/unit/test_layer_walk.py",
    ("names.py", "a part is longer"): "no ustar header holds such a part",
    (
        "frames.py",
        "what the file unpacks to",
    ): "the bombs take too long for every site: tests/simulated/test_hostile.py",
}


def backed_up(file: str, line: int) -> bool:
    """Whether a check is one of those above."""
    text = "".join((VERIFY / file).read_text().splitlines()[line - 1 : line + 3])
    return any(file == one and word in text for one, word in BACKED_UP)


def sites() -> list[tuple[str, int, int]]:
    """File, first and last line of every check: ``raise Refused`` and ``stage.require``."""
    found = []
    for path in sorted(VERIFY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            refuse = (
                isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and "Refused" in ast.dump(node.exc.func)
            )
            require = (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Attribute)
                and node.value.func.attr == "require"
            )
            if refuse or require:
                found.append((path.relative_to(VERIFY).as_posix(), node.lineno, node.end_lineno or node.lineno))
    return found


NOTED = {"layers.py": 5, "names.py": 1}
"""Modules that note what is wrong instead of raising, and the stage that refuses for it."""


def notes() -> list[tuple[str, int]]:
    """File and line of what is noted: a text given to ``self.unsafe`` or ``self.problem``, or returned as a reason."""
    found = []
    for file in NOTED:
        for node in ast.walk(ast.parse((VERIFY / file).read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                noted = node.targets[0].attr in ("unsafe", "problem")
            else:
                noted = file == "names.py" and isinstance(node, ast.Return)
            if noted and isinstance(node, (ast.Assign, ast.Return)) and is_text(node.value):
                found.append((file, node.lineno))
    return found


def is_text(value: ast.expr | None) -> bool:
    """Whether an expression is a text that is not empty, as far as it can be told from its form."""
    return isinstance(value, (ast.JoinedStr, ast.IfExp)) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value != ""
    )


RUNNER = """
import ast, importlib.abc, importlib.machinery, json, sys
from pathlib import Path
FILE, LINE = sys.argv[1], int(sys.argv[2])
class Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.parse(data)
        if str(path).endswith("toolkit/verify/" + FILE):
            class Out(ast.NodeTransformer):
                def visit(self, node):
                    if getattr(node, "lineno", None) == LINE and isinstance(node, (ast.Raise, ast.Expr)):
                        return ast.copy_location(ast.Pass(), node)
                    if getattr(node, "lineno", None) == LINE and isinstance(node, ast.Assign):
                        return ast.copy_location(ast.Pass(), node)
                    if getattr(node, "lineno", None) == LINE and isinstance(node, ast.Return):
                        return ast.copy_location(ast.Return(ast.Constant("")), node)
                    return self.generic_visit(node)
            tree = ast.fix_missing_locations(Out().visit(tree))
        return compile(tree, path, "exec", dont_inherit=True)
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        if spec and name.startswith("toolkit.verify") and spec.origin:
            spec.loader = Loader(name, spec.origin)
        return spec
sys.dont_write_bytecode = True
sys.meta_path.insert(0, Finder)
from toolkit.archive.keys import read_signers
from toolkit.verify.run import Question, verify
from toolkit.verify.stages.signature import Expected
from toolkit.errors import ReproError
import toolkit.verify.run as run
refuse, site = run._refuse, [""]
def refused(bench, problem):
    frame = problem.__traceback__
    while frame is not None:
        name = frame.tb_frame.f_code.co_filename.partition("toolkit/verify/")[2]
        if name and name != "report.py":
            site[0] = f"{name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return refuse(bench, problem)
run._refuse = refused
out = {}
for path, options in json.load(sys.stdin):
    site[0] = ""
    expected = Expected(read_signers(Path(options[1])), options[3] if len(options) > 2 else None) if options else None
    try:
        found = verify(Question(Path(path), signers=expected))
        out[path] = [found.verdict, found.stages[-1].n, found.stages[-1].checks[-1].what, site[0]]
    except ReproError as error:
        out[path] = ["usage", 0, error.title, ""]
    except Exception as error:
        out[path] = ["crash", 0, type(error).__name__, ""]
print(json.dumps(out))
"""


def outcomes(files: list[tuple[str, list[str]]], file: str = "", line: int = 0) -> dict[str, list[object]]:
    """What the verifier says of each file, and where it refused it, with one check taken out; empty when it hangs."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, file, str(line)], input=json.dumps(files), capture_output=True, text=True,
            check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=PASS_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}  # a check that ends a loop
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str]]]:
    """All hostile files but the largest."""
    from tests.simulated.test_hostile import CASES, read_honest

    place = tmp_path_factory.mktemp("hostile")
    honest = read_honest(author(tmp_path_factory.mktemp("author")).archive())
    found = []
    for case in CASES:
        if "bomb" in case.name or case.name == "too-many-members":
            continue
        folder = place / case.folder
        folder.mkdir()
        found.append((str(case.make(honest.copy(), folder)), case.options(folder)))
    return found


def test_taking_any_check_out_changes_what_is_said_of_some_file(files: list[tuple[str, list[str]]]) -> None:
    """Of the files that a check refuses, that is: no other could notice that it is gone."""
    whole = outcomes(files)
    assert not [path for path, found in whole.items() if found[0] == "crash"]
    idle = []
    for file, first, last in sites():
        if backed_up(file, first):
            continue
        here = {f"{file}:{line}" for line in range(first, last + 1)}
        mine = [(path, options) for path, options in files if whole[path][3] in here]
        if not mine or outcomes(mine, file, first) == {path: whole[path] for path, _options in mine}:
            idle.append(f"{file}:{first}")
    for file, line in notes():
        mine = [(path, options) for path, options in files if whole[path][1] == NOTED[file]]
        if not backed_up(file, line) and outcomes(mine, file, line) == {path: whole[path] for path, _options in mine}:
            idle.append(f"{file}:{line}")
    assert idle == [], "no fixture notices that these checks are gone"


def test_every_flipped_byte_is_noticed_or_changes_nothing_that_is_unpacked(tmp_path: Path) -> None:
    path = author(tmp_path).archive(without=("images", "inputs"))
    good, spoilt = path.read_bytes(), tmp_path / "spoilt.tar.zst"
    content = verify(Question(path)).archive["content_bytes"]
    for at in range(0, len(good), int(os.environ.get("REPRO_FLIP_STEP", "5"))):
        data = bytearray(good)
        data[at] ^= 1 << (at % 8)
        spoilt.write_bytes(data)
        found = verify(Question(spoilt))
        if found.verdict == "verified":
            assert found.archive["content_bytes"] == content
            assert any("transport bytes" in warning for warning in found.warnings), at
        assert verify(Question(spoilt, sha256="0" * 64)).verdict != "verified"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return author(tmp_path_factory.mktemp("author"))


def verdict_of(read: Callable[[], object]) -> str:
    """The verdict of a refusal; empty when there was none."""
    try:
        read()
    except Refused as refused:
        return refused.verdict
    return ""


fuzz = settings(
    max_examples=int(FUZZ_SECONDS * 30), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


@fuzz
@given(st.binary(max_size=2000))
def test_strict_json_refuses_or_reads(data: bytes) -> None:
    assert verdict_of(lambda: json.dumps(strict_json(data, "it", 3))) in ("", "malformed")


@fuzz
@given(
    st.one_of(st.binary(max_size=500), st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
def test_strict_yaml_refuses_or_reads(data: bytes) -> None:
    assert verdict_of(lambda: strict_yaml(data, "it", 6)) in ("", "malformed")


@fuzz
@given(st.binary(max_size=400))
def test_a_signature_is_read_or_refused(data: bytes) -> None:
    import base64

    text = (
        b"-----BEGIN SSH SIGNATURE-----\n"
        + base64.b64encode(b"SSHSIG\0\0\0\x01" + data)
        + b"\n-----END SSH SIGNATURE-----\n"
    )
    for one in (data, text):
        with suppress(sshsig.SignatureMalformed, sshsig.SignatureWeak):
            assert not sshsig.holds(sshsig.parse(one), b"message")


@fuzz
@given(st.data())
def test_a_mutated_archive_meets_a_verdict(made: Author, data: st.DataObject) -> None:
    import zstandard

    path = made.place / "fuzzed.tar.zst"
    content = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(made.archive().read_bytes()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.binary(max_size=8))
        content[at : at + data.draw(st.integers(0, 8))] = piece
    path.write_bytes(zstandard.ZstdCompressor(level=1).compress(bytes(content)))
    assert verify(Question(path)).verdict in EXIT_CODES
