"""A user database of each kind: what the contract says holds for both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd.store.database import UserDatabase
from srmd.store.memory import MemoryUserDatabase
from srmd.store.sqlite import DATABASE_FILE, SqliteUserDatabase


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UserDatabase]:
    made: UserDatabase = (
        MemoryUserDatabase("ours")
        if request.param == "memory"
        else SqliteUserDatabase.open(tmp_path / DATABASE_FILE)
    )
    yield made
    made.close()
