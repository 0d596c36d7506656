"""Other versions of srmd, made of this one: its sources, with a few lines behind some of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import srmd
from srmd.config import shipped

NEWER = "99.0.0"
OF_A_NEWER_STATE = {
    # A fact that this version does not know, in a format that tells who reads it.
    "store/nodestate.py": """
MIGRATIONS[SCHEMA] = lambda inner: inner
SCHEMA += 1
_written_before = _written


def _written(memory: NodeMemory) -> JsonObject:
    return {**_written_before(memory), "from_the_future": {"mood": ["calm"]}}
""",
    # A column that this version does not know, and the oldest version that may use the database.
    "store/schema.py": """
_LATER = (
    "ALTER TABLE users ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",
    f"INSERT INTO meta VALUES ('reader_min', {VERSION})",
)
STEPS = (*STEPS, _LATER)
VERSION = len(STEPS)
""",
}
OF_A_SILENT_ONE = {
    # It tells no version to its peer, as srmd did before it knew the header.
    "node/calling.py": """
SOFTWARE = "X-Another-Header"
"""
}
OF_ANOTHER_PROTOCOL = {
    "wire/heartbeat.py": """
PROTOCOL_VERSION += 1
"""
}


def with_lines(folder: Path, version: str, lines: Mapping[str, str]) -> Path:
    """The folder from which such an srmd can be imported."""
    ours = Path(srmd.__file__).parent
    shutil.copytree(ours, folder / "srmd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(shipped(), folder / "configs", dirs_exist_ok=True)
    root = folder / "srmd" / "__init__.py"
    changed, count = re.subn(
        '(?m)^__version__ = ".*"$', f'__version__ = "{version}"', root.read_text()
    )
    assert count == 1
    root.write_text(changed)
    for file, text in lines.items():
        with (folder / "srmd" / file).open("a") as source:
            source.write(text)
    return folder
