"""Copies of a configuration and of every file that it names, for the user of a service (srmd).

A privileged step of a unit makes them, before the node starts and at each reload, because the
node's own user cannot read root's files.  So that the step cannot be led astray by that user, no
folder that it writes to is the user's: the folders belong to who copies, only the files are the
user's.

    DIR/current -> set-1                what is read
    DIR/set-1/etc/srmd/node.toml        mode 0400

A set is made as a whole, judged, and then put in place by one rename; the others are removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srmd.config.files import CURRENT, Files, copy_of
from srmd.config.reading import ConfigError, Loaded, load_by
from srmd.strict_toml import FILE_BYTES_MAX, Problem

FOLDER_MODE: Final = 0o750
FILE_MODE: Final = 0o400
LOCK: Final = "lock"
NEXT: Final = "next"
SET: Final = "set-"


class CopyError(Exception):
    """The copies could not be made; the message has the place and the way out."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that is to read the copies."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Owner:
        """The owner of a file or folder.  Raises CopyError."""
        try:
            found = path.lstat()
        except OSError as error:
            text = f"{path}: {error.strerror}; name a folder of the user that is to read the copies"
            raise CopyError(text) from error
        return cls(found.st_uid, found.st_gid)

    @classmethod
    def of_this_process(cls) -> Owner:
        return cls(os.geteuid(), os.getegid())


def copy(file: Path, to: Path, owner: Owner, *, as_is: bool = False) -> tuple[Problem, ...]:
    """Put a set of copies in place in `to`, and return the warnings that the copies do not show.

    Raises ConfigError when the configuration cannot be used, and CopyError; what was in place stays
    then.  `as_is`: of a configuration that cannot be used, what there is of its files is copied:
    the node tells what is wrong.
    """
    files = Files(file.parent)
    try:
        loaded = load_by(file, files, os.environ)
    except ConfigError:
        if not as_is:
            raise
        loaded = None
    with _own_folder(to, owner) as folder:
        made = Path(tempfile.mkdtemp(prefix=SET, dir=folder))
        try:
            for path in files.noted:
                _copy_file(path, copy_of(path, made), made, owner, as_is=as_is)
            _give(made, owner)
            warnings = () if loaded is None else _judged(file, made, loaded)
            _put_in_place(folder, made)
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            text = f"{error.filename or folder}: {error.strerror}; nothing was changed"
            raise CopyError(text) from error
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        for other in folder.glob(f"{SET}*"):
            if other != made:
                shutil.rmtree(other, ignore_errors=True)
    return warnings


def _judged(file: Path, made: Path, loaded: Loaded) -> tuple[Problem, ...]:
    """The copies can be used as the originals could, which may have changed meanwhile."""
    told = load_by(file, Files(file.parent, made), os.environ).warnings
    return tuple(warning for warning in loaded.warnings if warning not in told)


@contextmanager
def _own_folder(to: Path, owner: Owner) -> Iterator[Path]:
    """The folder of the copies, made if need be, for this process alone.  Raises CopyError."""
    try:
        to.mkdir(mode=FOLDER_MODE, exist_ok=True)
        found = to.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise CopyError(f"{to}: it is no folder; name one for the copies alone")
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            right = "name a folder that only you can write to, in one of that kind"
            raise CopyError(f"{to}: others can write to it; {right}")
        _give(to, owner)
        lock = os.open(to / LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        text = f"{to}: {error.strerror}; name a folder that can be made or written to"
        raise CopyError(text) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield to
    except BlockingIOError as error:
        raise CopyError(f"{to}: others copy to it now; try again when they are done") from error
    finally:
        os.close(lock)


def _copy_file(path: Path, place: Path, made: Path, owner: Owner, *, as_is: bool) -> None:
    try:
        with path.open("rb") as source:
            content = source.read(FILE_BYTES_MAX + 1)  # a longer one is refused by who reads it
    except (OSError, ValueError):  # ValueError: a NUL in the path
        if as_is:
            return
        raise
    missing = [folder for folder in place.parents if folder != made and made in folder.parents]
    for folder in reversed(missing):
        if not folder.exists():
            folder.mkdir()
            _give(folder, owner)
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchown(handle, owner.uid, owner.gid)


def _give(folder: Path, owner: Owner) -> None:
    """The group of the owner may look into the folder, which stays ours."""
    os.chown(folder, -1, owner.gid)
    folder.chmod(FOLDER_MODE)


def _put_in_place(folder: Path, made: Path) -> None:
    link = folder / NEXT
    link.unlink(missing_ok=True)
    link.symlink_to(made.name)
    link.replace(folder / CURRENT)
