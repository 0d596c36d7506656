"""Options of the core's tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        action="store_true",
        help="rewrite the golden files; commit them only if you can explain each line",
    )
    parser.addoption(
        "--plans",
        type=int,
        default=2000,
        help="how many random plans each search of test_search.py tries",
    )
