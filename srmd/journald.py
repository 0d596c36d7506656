"""Records for systemd's journal, with their fields, in its native protocol.

A record is one datagram to a socket of journald: lines `NAME=value`, or, where a value holds a
newline, `NAME`, a newline, its length in eight bytes, the value.
Source: systemd, "Native Journal Protocol" (docs/JOURNAL_NATIVE_PROTOCOL.md).  The library for it
(python-systemd) needs a compiler and libsystemd's headers, for what is thirty lines here.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
VALUE_BYTES_MAX = 16_384
"""A longer value is cut: a datagram is limited, and a record is no place for a document."""
RECORD_BYTES_MAX = 100_000
"""Fields that would make a record longer are left out (ours; the socket takes 200 kB or so)."""
SEND_LIMIT_S = 5.0
"""How long the writing thread waits for a journald that does not read; then the record is lost."""
NAME_CHARACTERS_MAX = 64


class JournalSocket:
    """journald, as an outlet of `line_writer`: a record is lost while there is no journald."""

    def __init__(self, path: str = SOCKET) -> None:
        """Raises OSError when nobody listens there."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(SEND_LIMIT_S)
        try:
            # Only to ask: a socket that stays connected would not outlive a journald.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
                asking.connect(path)
        except OSError:
            self._socket.close()
            raise

    def write(self, line: bytes) -> bool:
        try:
            self._socket.sendto(line, self._path)
        except OSError:  # it is away, or does not read
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def is_journal(fd: int, env: Mapping[str, str]) -> bool:
    """The descriptor is the stream that systemd has connected to its journal for us.

    Source: systemd.exec(5), JOURNAL_STREAM: device and inode, which tell it from a redirection.
    """
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return env.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def record(fields: Mapping[str, str]) -> bytes:
    """One record, of at most RECORD_BYTES_MAX; the fields that matter come first."""
    parts: list[bytes] = []
    size_bytes = 0
    for name, value in fields.items():
        part = _field(name, value)
        size_bytes += len(part)
        if size_bytes > RECORD_BYTES_MAX:
            break
        parts.append(part)
    return b"".join(parts)


def _field(name: str, value: str) -> bytes:
    key = field_name(name).encode()
    content = value.encode(errors="backslashreplace")[:VALUE_BYTES_MAX]
    if b"\n" not in content:
        return key + b"=" + content + b"\n"
    return key + b"\n" + struct.pack("<Q", len(content)) + content + b"\n"


def field_name(name: str) -> str:
    """As journald takes it: capitals, digits and underscores, no underscore or digit in front."""
    legal = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:NAME_CHARACTERS_MAX]
    return legal if re.match(r"[A-Z]", legal) else f"F{legal}"[:NAME_CHARACTERS_MAX]
