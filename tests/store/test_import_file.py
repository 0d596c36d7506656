"""Every bad line of an import file is reported, with its number, its value and the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.store.database import BadImport, BadLine, BadRequest, TooManyUsers
from srmd.store.users import IMPORT_BYTES_MAX, ImportLine, read_csv

NODES = ("a", "b")


def bad_lines(content: str | bytes) -> tuple[BadLine, ...]:
    with pytest.raises(BadImport) as caught:
        read_csv(content, NODES)
    return caught.value.lines


@pytest.mark.parametrize(
    "line, value, reason",
    [
        (b"anna", "anna", "has 1 fields, not 2 (user_id,home_node)"),
        (b"anna,a,b", "anna,a,b", "has 3 fields, not 2 (user_id,home_node)"),
        (b",a", "", "is an empty user id"),
        (b"x" * 129 + b",a", "x" * 80 + "...", "is longer than 128 characters"),
        (b"an na,a", "an na", "holds a character that is not one of A-Z a-z 0-9 . _ @ + -"),
        (b"anna,c", "c", "is not a node of this group (a, b)"),
        (b"anna,A", "A", "is not a node of this group (a, b)"),
        (b"first,a", "first", "is on line 2 already"),
        (b"an\xffna,a", "an\\xffna,a", "is not UTF-8"),
        (b"an\x00na,a", "an\x00na,a", "holds a NUL"),
        (b'"anna,a', '"anna,a', "is not CSV (unexpected end of data)"),
    ],
)
def test_a_bad_line_is_reported(line: bytes, value: str, reason: str) -> None:
    content = b"user_id,home_node\nfirst,a\n" + line + b"\nlast,b\n"
    assert bad_lines(content) == (BadLine(3, value, reason),)


def test_all_bad_lines_are_reported_together() -> None:
    content = "anna,a\n,a\nbert,c\nbert,b\n"
    assert bad_lines(content) == (
        BadLine(1, "anna,a", "is not the header, which must be user_id,home_node"),
        BadLine(2, "", "is an empty user id"),
        BadLine(3, "c", "is not a node of this group (a, b)"),
        BadLine(4, "bert", "is on line 3 already"),
    )


def test_the_message_is_bounded_the_report_is_complete() -> None:
    content = "user_id,home_node\n" + ",a\n" * 25_000
    with pytest.raises(BadImport) as caught:
        read_csv(content, NODES)
    assert len(caught.value.lines) == 25_000
    assert str(caught.value).endswith("line 11: '' is an empty user id; and 24990 more")


def test_an_empty_file_has_no_header() -> None:
    assert bad_lines("") == (BadLine(1, "", "is not the header, which must be user_id,home_node"),)


def test_good_lines_keep_their_numbers() -> None:
    content = '\ufeffuser_id,home_node\r\n\r\n"anna",a\r\nbert,'
    assert read_csv(content, NODES) == [ImportLine(3, "anna", "a"), ImportLine(4, "bert", None)]


def test_a_file_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(BadRequest, match="more than 33554432 bytes"):
        read_csv(b"x" * (IMPORT_BYTES_MAX + 1), NODES)
    with pytest.raises(TooManyUsers):
        read_csv(b"\n" * 150_001, NODES)


def refused_lines(content: str | bytes) -> list[int]:
    """The numbers of the bad lines, none when the content is good; any other error is a defect."""
    try:
        read_csv(content, NODES)
    except BadImport as error:
        return [line.line for line in error.lines]
    return []


@given(st.text() | st.binary())
def test_any_content_is_read_or_refused_with_line_numbers(content: str | bytes) -> None:
    numbers = refused_lines(content)
    assert numbers == sorted(set(numbers))


@given(st.lists(st.sampled_from([b"u1", b"u2", b",a", b",", b"\n", b"\r", b'"', b"\xff", b"\0"])))
def test_any_body_is_read_or_refused_with_line_numbers(parts: list[bytes]) -> None:
    content = b"user_id,home_node\n" + b"".join(parts)
    numbers = refused_lines(content)
    assert 1 not in numbers
    if not numbers:
        found = read_csv(content, NODES)
        assert len({line.user_id for line in found}) == len(found)
