"""The targets of `make fuzz` hold for a few inputs in every run of the tests, too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds

INPUTS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_a_good_input_and_each_part_of_it_is_taken_or_refused(name: str) -> None:
    for seed in seeds()[name]:
        for end in range(len(seed) + 1):
            TARGETS[name](seed[:end])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=INPUTS, deadline=None)
@given(data=st.data())
def test_a_changed_input_is_taken_or_refused(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(seeds()[name]))
    at = data.draw(st.integers(0, len(seed)))
    cut = data.draw(st.integers(0, 3))
    TARGETS[name](seed[:at] + data.draw(st.binary(max_size=20)) + seed[at + cut :])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=INPUTS, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_input_is_taken_or_refused(name: str, data: bytes) -> None:
    TARGETS[name](data)
