"""Puts the manual page, the completion scripts and the documents into the wheel.

Page and scripts are made from the parser itself, the documents from those of the repository.

Nothing of it is kept in the repository, so nothing of it can be out of date.  An editable install
has none of it: `srmd completion SHELL` prints the same scripts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MADE = "build/shared"
PLACES = {
    "bash": "share/bash-completion/completions/srmd",
    "zsh": "share/zsh/site-functions/_srmd",
    "fish": "share/fish/vendor_completions.d/srmd.fish",
}
MANUAL = "share/man/man1/srmd.1"
DOCUMENTS = "share/doc/srmd"


class SharedFiles(BuildHookInterface[Any]):
    """Runs before a wheel is built, from a checkout and from an sdist alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)
        try:
            # The standard library is enough for these.
            import documents
            from srmd.cli.completion import SCRIPTS
            from srmd.cli.manual import page
        finally:
            sys.path.remove(self.root)
        texts = {
            MANUAL: page(),
            **{PLACES[shell]: text for shell, text in SCRIPTS.items()},
            **{f"{DOCUMENTS}/{name}": text for name, text in documents.installed(root).items()},
        }
        for place, text in texts.items():
            file = Path(self.root, MADE, place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(file)] = place
