"""Refusals of a disk, in words: full, quota, read-only, permission, defect."""

from __future__ import annotations

import errno
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

from srmd.core.texts import Text
from srmd.store import durable

PROBE_FILE = "write.probe"
PROBE_BYTES = 4096


class DiskFault(Enum):
    """Reasons for which something cannot be written; they pass, or are repaired from outside."""

    FULL = "full"
    QUOTA = "quota"
    READ_ONLY = "read_only"
    PERMISSION = "permission"
    SLOW = "slow"
    BROKEN = "broken"


WORDS: Final = {
    DiskFault.FULL: Text("no space left on the disk", "ディスクの空き容量がありません"),
    DiskFault.QUOTA: Text("the disk quota is used up", "ディスク クォータの上限に達しています"),
    DiskFault.READ_ONLY: Text(
        "the file system is read-only", "ファイル システムが読み取り専用です"
    ),
    DiskFault.PERMISSION: Text("no permission to write there", "書き込み権限がありません"),
    DiskFault.SLOW: Text("the disk does not answer in time", "ディスクが時間内に応答しません"),
    DiskFault.BROKEN: Text("the disk reports an error", "ディスクがエラーを報告しています"),
}

WAYS_OUT: Final = {
    DiskFault.FULL: "free space on its file system",
    DiskFault.QUOTA: "remove files of its owner, or raise the quota",
    DiskFault.READ_ONLY: "make its file system writable",
    DiskFault.PERMISSION: "make it writable for the user that runs srmd",
    DiskFault.SLOW: "look for a disk that hangs",
    DiskFault.BROKEN: "look for disk errors in the kernel's log",
}

_FAULTS: Final = {
    errno.ENOSPC: DiskFault.FULL,
    errno.EFBIG: DiskFault.FULL,  # a limit on the size of files, as a full disk to the writer
    errno.EDQUOT: DiskFault.QUOTA,
    errno.EROFS: DiskFault.READ_ONLY,
    errno.EACCES: DiskFault.PERMISSION,
    errno.EPERM: DiskFault.PERMISSION,
    errno.EIO: DiskFault.BROKEN,
}


def fault_of(error: OSError) -> DiskFault | None:
    """None: it is something else, such as a name that cannot be one of a folder."""
    if isinstance(error, TimeoutError):
        return DiskFault.SLOW
    return _FAULTS.get(error.errno or 0)


def words_of(error: OSError) -> Text:
    """The fault in words."""
    fault = fault_of(error)
    if fault is not None:
        return WORDS[fault]
    said = error.strerror or str(error) or type(error).__name__
    return Text(said, said)


def in_words(error: OSError) -> str:
    """The fault and the way out, in English: for the log and for the start of a node."""
    fault, said = fault_of(error), words_of(error).en
    return said if fault is None else f"{said}; {WAYS_OUT[fault]}"


def tried(folder: Path) -> OSError | None:
    """The fault that a small durable write in this folder meets; nothing is left of it."""
    probe = folder / PROBE_FILE
    try:
        durable.write(probe, bytes(PROBE_BYTES))
    except OSError as error:
        return error
    finally:
        with suppress(OSError):
            probe.unlink()
    return None
