"""Where secrets come from: the environment, a file, or the configuration itself.

A secret that is wrong is never shown in the problem that tells so.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from srmd.config.files import Files
from srmd.secret import HIDDEN, Secret, key_from_text
from srmd.strict_toml import Reader, Table
from srmd.wire.keys import MIN_SECRET_BYTES, is_key_id

TOKEN_CHARACTERS_MIN = 16
SECRET_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Secrets:
    """Reads the secrets of a configuration, noting problems in the table that asks."""

    files: Files
    env: Mapping[str, str]
    variables: set[str] = field(default_factory=set)
    """Those that were asked for."""

    def token(self, table: Table, key: str, *, may_be_empty: bool = False) -> Secret | None:
        text = self._text(table, key)
        if text is None or (may_be_empty and text == ""):
            return None
        if len(text) < TOKEN_CHARACTERS_MIN or not all("!" <= char <= "~" for char in text):
            right = f"at least {TOKEN_CHARACTERS_MIN} printable ASCII characters, no blank"
            table.reader.problem(table.key(key), HIDDEN, right)
            return None
        return Secret(text)

    def key(self, table: Table, key_id: str) -> Secret | None:
        name = table.key(key_id)
        if not is_key_id(key_id):
            table.reader.problem(name, HIDDEN, "a key id of 1-16 printable characters, no blank")
        text = self._text(table, key_id)
        if text is None:
            return None
        try:
            key = key_from_text(text)
        except ValueError as failed:
            right = f"{failed}; a key of at least {MIN_SECRET_BYTES} bytes as hex or base64"
            table.reader.problem(name, HIDDEN, right)
            return None
        if len(key) < MIN_SECRET_BYTES:
            right = f"{len(key)} bytes are too few; at least {MIN_SECRET_BYTES}"
            table.reader.problem(name, HIDDEN, right)
            return None
        return Secret(key)

    def _text(self, table: Table, key: str) -> str | None:
        """The text of the secret; None when it is absent or could not be had (a problem then)."""
        value = table.raw(key)
        if value is None or isinstance(value, str):
            return value
        name = table.key(key)
        if isinstance(value, dict) and len(value) == 1:
            ((source, where),) = value.items()
            if source == "env" and isinstance(where, str):
                return self._from_env(table.reader, name, where)
            if source == "file" and isinstance(where, str):
                return self._from_file(table.reader, name, where)
        right = 'a text, { env = "NAME" } or { file = "path" }'
        table.reader.problem(name, HIDDEN, right)
        return None

    def _from_env(self, reader: Reader, name: str, variable: str) -> str | None:
        self.variables.add(variable)
        text = self.env.get(variable)
        if not text:
            reader.problem(
                name, f"env {variable}", "set this environment variable; it has no value"
            )
            return None
        return text.strip()

    def _from_file(self, reader: Reader, name: str, where: str) -> str | None:
        path = self.files.name(name, where)
        try:
            with self.files.at(path).open("rb") as file:
                found = os.fstat(file.fileno())
                raw = file.read(SECRET_BYTES_MAX + 1)
        except (OSError, ValueError) as failed:  # ValueError: a NUL in the path
            why = failed.strerror if isinstance(failed, OSError) else str(failed)
            reader.problem(name, f"file {where}", f"{why}; name a file that can be read")
            return None
        judge_mode(reader, name, where, found)
        try:
            text = raw.removeprefix(codecs.BOM_UTF8).decode("ascii").strip()
        except UnicodeDecodeError:
            text = ""
        if not text or len(raw) > SECRET_BYTES_MAX:
            reader.problem(name, f"file {where}", f"one line of ASCII, 1-{SECRET_BYTES_MAX} bytes")
            return None
        return text


def judge_mode(reader: Reader, name: str, where: str, found: os.stat_result) -> None:
    """Warns of a file with a secret that others than its owner may read or change."""
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        right = f"others may read the secret; chmod 600 {where}"
        reader.warn(name, f"file {where}, mode {mode:03o}", right)
