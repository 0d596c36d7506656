"""A real shell at a terminal of its own, and the TAB key."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_S = 30.0
"""How long the shell may take for one line, on a busy machine."""
END_LIMIT_S = 30.0
READ_BYTES = 65_536
BEGINNING_OF_LINE = "\x01"  # Ctrl-A
END = "=end="
TELL_END = "printf '=%s=\\n' end"
"""Prints END, and does not hold it: the shell echoes what is typed."""


class Shell:
    """An interactive bash or zsh that finds `srmd` in `folder` and reads nobody's settings."""

    def __init__(self, words: Sequence[str], folder: Path, home: Path) -> None:
        ours, theirs = pty.openpty()
        env = {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "TERM": "dumb",
            "INPUTRC": os.devnull,
            "LC_ALL": "C.UTF-8",
        }
        self._terminal = ours
        self._process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            cwd=home,
            start_new_session=True,
        )
        os.close(theirs)
        self.run("")
        self.run(f"show() {{ printf '<%s>\\n' \"$@\"; {TELL_END}; }}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(END_LIMIT_S)
        os.close(self._terminal)

    def run(self, line: str) -> str:
        """What the shell shows for a line, its echo included."""
        self._type(f"{line}\n{TELL_END}\n")
        return self._until_end()

    def completed(self, begun: str) -> str:
        """The words of the line after a TAB at its end, one blank between them."""
        # What stands there then is printed as words, rather than read off the screen.
        self._type(f"{begun}\t{BEGINNING_OF_LINE}show \n")
        shown = self._until_end()
        return " ".join(re.findall(r"^<(.*)>\r?$", shown, re.MULTILINE))

    def _type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _until_end(self) -> str:
        seen, give_up_s = b"", time.monotonic() + LIMIT_S
        while END.encode() not in seen:
            rest_s = max(0.0, give_up_s - time.monotonic())
            ready, _, _ = select.select([self._terminal], [], [], rest_s)
            assert ready, f"the line has not ended within {LIMIT_S:g} s: {seen!r}"
            seen += os.read(self._terminal, READ_BYTES)
        return seen.decode()
