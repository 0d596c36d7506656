"""Copies of a configuration and of all that it names, for the user of a service."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd.cli import main
from srmd.cli.exits import Exit
from srmd.config import Config, ConfigError, load
from srmd.config.copies import CopyError, Owner, copy
from srmd.config.files import Files, current
from srmd.config.reading import load_by
from srmd.secret import Secret
from tests.security.certificates import GROUP, authority, write

KEY = "00112233445566778899aabbccddeeff"
OTHER_KEY = "ffeeddccbbaa99887766554433221100"
TOKEN, OLD_TOKEN = "a-token-of-the-tests", "yesterdays-token-of-the-tests"
TEXT = f"""
[node]
id = "a"
state_dir = "state"
[group]
name = "{GROUP}"
[peer]
id = "b"
heartbeat = "127.0.0.1:22002"
control = "https://127.0.0.1:20076"
[heartbeat]
keep_alive_timeout_s = 67.5
[control]
token = {{ file = "token" }}
old_token = {{ file = "../elsewhere/old" }}
[auth]
active = "k1"
[auth.keys]
k1 = {{ file = "k1.key" }}
k2 = {{ file = "ELSEWHERE/k2.key" }}
[tls]
certificate = "node.crt"
key = "../etc/../etc/tls.key"
ca = "ca.crt"
[log]
file = "log/node.log"
"""
READ_BY = {
    "node.state_dir": None,
    "log.file": None,
    "control.token": "token",
    "control.old_token": "../elsewhere/old",
    "auth.keys": "k1.key",
    "tls.certificate": "node.crt",
    "tls.key": "tls.key",
    "tls.ca": "ca.crt",
}
"""Every setting that is a path or a secret: the file that it names above; None: it is written."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration that names files in every way that there is."""
    elsewhere = tmp_path / "elsewhere"
    for folder in (tmp_path / "etc", elsewhere):
        folder.mkdir()
    file = tmp_path / "etc/node.toml"
    put(file, TEXT.replace("ELSEWHERE", str(elsewhere)))
    put(file.parent / "token", TOKEN)
    put(elsewhere / "old", OLD_TOKEN)
    put(file.parent / "k1.key", KEY)
    put(elsewhere / "k2.key", OTHER_KEY)
    write(file.parent, authority())
    return file


@pytest.fixture
def me() -> Owner:
    return Owner.of_this_process()


def put(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        f"/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def settings() -> Iterator[tuple[str, object]]:
    """Every setting of every section with its type."""
    for section, kind in typing.get_type_hints(Config).items():
        for name, hint in typing.get_type_hints(kind).items():
            yield f"{section}.{name}", hint


def test_every_setting_that_can_name_a_file_is_known_here() -> None:
    """Who adds one decides whether it is read; if so, the tests below see that it is copied."""
    found = {key for key, hint in settings() if {"Path", "Secret"} & set(words(hint))}
    assert found == set(READ_BY)


def words(hint: object) -> list[str]:
    inner = [word for each in typing.get_args(hint) for word in words(each)]
    return [getattr(hint, "__name__", str(hint)), *inner]


def test_what_is_read_is_what_is_noted(file: Path) -> None:
    """Python tells of every file that is opened, also of one that a later setting names."""
    opened: list[Path] = []
    noting = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if noting and event == "open" and isinstance(arguments[0], (str, os.PathLike)):
            opened.append(Path(os.path.abspath(arguments[0])))  # noqa: PTH100 - links stay

    sys.addaudithook(hook)
    files = Files(file.parent)
    load_by(file, files, {})
    noting = False
    named = {path for path in opened if file.parent.parent in path.parents}
    assert named == set(files.noted)
    wanted = {file.parent / name for name in READ_BY.values() if name is not None}
    assert {Path(os.path.abspath(path)) for path in wanted} <= named  # noqa: PTH100 - see above


def test_the_copies_are_read_without_the_originals(file: Path, tmp_path: Path, me: Owner) -> None:
    before = load(file)
    assert copy(file, tmp_path / "copies", me) == ()
    for folder in ("etc", "elsewhere"):
        shutil.rmtree(tmp_path / folder)
    after = load(file, copies=tmp_path / "copies")
    assert after.config == before.config, "paths are those of the originals"
    assert after.config.control.old_token == Secret(OLD_TOKEN)
    assert after.config.log.file == tmp_path / "etc/log/node.log"


def test_each_copy_lies_at_the_path_of_its_original(file: Path, tmp_path: Path, me: Owner) -> None:
    copy(file, tmp_path / "copies", me)
    placed = current(tmp_path / "copies")
    assert placed is not None
    originals = {
        path: content
        for folder in ("etc", "elsewhere")
        for path, content in files_of(tmp_path / folder).items()
    }
    assert {Path(path).name for path in originals} == {Path(path).name for path in files_of(placed)}
    for path, content in files_of(placed).items():
        assert Path(path).read_bytes() == content
        assert stat.S_IMODE((placed / path[1:]).stat().st_mode) == 0o400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_only_files_are_the_users_so_that_it_can_lead_nobody_astray(
    file: Path, tmp_path: Path
) -> None:
    """A folder of the user's could hold a link by which root overwrites, or gives away, a file."""
    copy(file, tmp_path / "copies", Owner(12345, 23456))
    for path in (tmp_path / "copies").rglob("*"):
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISDIR(found.st_mode):
            assert (found.st_uid, found.st_gid, mode) == (0, 23456, 0o750)
        elif stat.S_ISREG(found.st_mode) and path.name != "lock":
            assert (found.st_uid, found.st_gid, mode) == (12345, 23456, 0o400)


def test_another_set_takes_the_place_of_the_first_which_is_removed(
    file: Path, tmp_path: Path, me: Owner
) -> None:
    copies = tmp_path / "copies"
    copy(file, copies, me)
    put(file.parent / "token", "tomorrows-token-of-the-tests")
    copy(file, copies, me)
    assert load(file, copies=copies).config.control.token == Secret("tomorrows-token-of-the-tests")
    assert len(list(copies.glob("set-*"))) == 1
    assert TOKEN.encode() not in b"".join(files_of(copies).values())


def test_a_set_in_place_stays_there_though_the_former_one_cannot_be_removed(
    file: Path, tmp_path: Path, me: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one was removed with it, and nothing was left to read."""
    copies = tmp_path / "copies"
    copy(file, copies, me)

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.rmdir", refused)
    copy(file, copies, me)
    assert load(file, copies=copies).config.control.token == Secret(TOKEN)


@pytest.mark.parametrize(
    "harm, told",
    [
        ("k1.key", "line 19: auth.keys.k1: file k1.key: No such file or directory"),
        ("tls.key", "tls.key: "),
        ("node.toml", "node.toml: 1 problem"),
    ],
)
def test_a_configuration_that_cannot_be_used_takes_the_place_of_none(
    harm: str, told: str, file: Path, tmp_path: Path, me: Owner
) -> None:
    copies = tmp_path / "copies"
    copy(file, copies, me)
    before = current(copies)
    (file.parent / harm).unlink()
    with pytest.raises(ConfigError) as refused:
        copy(file, copies, me)
    assert told in str(refused.value)
    assert str(copies) not in str(refused.value)
    assert current(copies) == before
    assert len(list(copies.glob("set-*"))) == 1


def test_as_is_the_node_tells_what_is_wrong(file: Path, tmp_path: Path, me: Owner) -> None:
    (file.parent / "k1.key").unlink()
    (file.parent / "node.crt").write_text("no certificate")
    with pytest.raises(ConfigError) as of_originals:
        load(file)
    copy(file, tmp_path / "copies", me, as_is=True)
    with pytest.raises(ConfigError) as of_copies:
        load(file, copies=tmp_path / "copies")
    assert str(of_copies.value) == str(of_originals.value)


def test_that_others_may_read_a_file_is_told_of_the_original(
    file: Path, tmp_path: Path, me: Owner
) -> None:
    (file.parent / "token").chmod(0o644)
    (warning,) = copy(file, tmp_path / "copies", me)
    assert (warning.key, warning.value) == ("control.token", "file token, mode 644")
    assert load(file, copies=tmp_path / "copies").warnings == ()


def test_one_file_for_two_keys_is_copied_once(file: Path, tmp_path: Path, me: Owner) -> None:
    text = file.read_text().replace('"../elsewhere/old"', '"./token"')
    put(file, text)
    copy(file, tmp_path / "copies", me)
    control = load(file, copies=tmp_path / "copies").config.control
    assert control.token == control.old_token == Secret(TOKEN)


def test_without_copies_the_way_out_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(file, copies=tmp_path / "copies")
    assert str(refused.value).endswith(
        f"no copy of it is in {tmp_path}/copies: make it: srmd config copy {file} --to "
        f"{tmp_path}/copies"
    )


def test_copies_that_are_replaced_while_they_are_read_are_read_again(
    file: Path, tmp_path: Path, me: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copy(file, copies, me)
    read: list[Path] = []
    at = Files.at

    def swapped(files: Files, path: Path) -> Path:
        if not read and path.name == "token":
            read.append(path)
            copy(file, copies, me)  # the set that is being read is gone now
        return at(files, path)

    monkeypatch.setattr(Files, "at", swapped)
    assert load(file, copies=copies).config.control.token == Secret(TOKEN)


@pytest.mark.parametrize("kind", ["a link", "a file", "a folder of all"])
def test_a_folder_that_others_may_write_to_is_refused(
    kind: str, file: Path, tmp_path: Path, me: Owner
) -> None:
    copies = tmp_path / "copies"
    match kind:
        case "a link":
            copies.symlink_to(tmp_path)
        case "a file":
            copies.touch()
        case _:
            copies.mkdir()
            copies.chmod(0o777)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CopyError, match=str(copies)):
        copy(file, copies, me)
    assert sorted(tmp_path.rglob("*")) == before


def test_two_do_not_copy_at_once(file: Path, tmp_path: Path, me: Owner) -> None:
    copies = tmp_path / "copies"
    copy(file, copies, me)
    at = Files.at

    def both(files: Files, path: Path) -> Path:
        with pytest.raises(CopyError, match="others copy to it now"):
            copy(Path("/dev/null"), copies, me, as_is=True)
        return at(files, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "srmd.config.copies.copy_of", lambda path, made: both(Files(made, made), path)
        )
        copy(file, copies, me)


def test_the_command_copies_and_tells_what_is_wrong(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = str(tmp_path / "copies")
    assert main(["config", "copy", str(file), "--to", copies]) == Exit.OK
    assert main(["config", "copy", str(file), "--to", str(file)]) == Exit.FAILED
    assert f"{file}: File exists" in capsys.readouterr().err
    (file.parent / "token").unlink()
    assert main(["config", "copy", str(file), "--to", copies]) == Exit.CONFIG_BAD
    assert "control.token: file token: No such file" in capsys.readouterr().err
    arguments = ["config", "copy", str(file), "--to", copies, "--owner-of", "/nowhere"]
    assert main(arguments) == Exit.FAILED
    assert "/nowhere: No such file or directory; name a folder" in capsys.readouterr().err
