"""A file of users: what spreadsheets and directories write is read, and every bad line is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.store.database import USERS_MAX, BadImport, BadLine, BadRequest
from srmd.store.user_file import (
    BYTES_MAX,
    LINES_MAX,
    LINES_TOLD_MAX,
    RECORD_CHARS_MAX,
    ImportLine,
    new_lines,
    read,
    written,
)
from srmd.store.users import shortened

NODES = ("a", "b")
ANNA = [ImportLine(2, "anna", "a")]
NO_HEADER = (
    "is no header with the columns user_id and home_node, separated by commas, semicolons or "
    "tabs: {} is missing"
)


def bad_lines(content: str | bytes) -> tuple[BadLine, ...]:
    with pytest.raises(BadImport) as caught:
        read(content, NODES)
    return caught.value.lines


# What is read


@pytest.mark.parametrize(
    "content",
    [
        b'"user_id","home_node"\r\n"anna","a"\r\n',  # as directories export it
        b"user_id,home_node\nanna,a\n",
        b"user_id,home_node\nanna,a",
        b"user_id,home_node\ranna,a\r",
        b"\xef\xbb\xbfuser_id,home_node\r\nanna,a\r\n",
        b'\xef\xbb\xbf"user_id","home_node"\nanna,a\n',
        b"User ID;Home Node\nanna;a\n",
        b"USER_ID\tHome-Node\nanna\ta\n",
        b" user_id , home_node \n anna , a \n",
        b"home_node,user_id\na,anna\n",
        b'mail,user_id,"name, first",home_node\nanna@x,anna,"Anna, A.",a\n',
        b'"a;b";"user_id";"home_node"\n"x,y";anna;a\n',
        b"user_id,home_node,note\nanna,a,\n",
        b"user_id,home_node\nanna,a,,\n",
        b"user_id,home_node\nanna,a\n,\n , \n\n\r\n;\n"[:-2],
        "user_id,home_node,氏名\nanna,a,表示 アンナ\n".encode("cp932"),
        "user_id,home_node,name\nanna,a,Ännä\n".encode("cp1252"),
        "氏名,user_id,home_node\nアンナ,anna,a\n".encode(),
        "user_id\thome_node\r\nanna\ta\r\n".encode("utf-16"),
        "\ufeffuser_id,home_node\nanna,a\n".encode("utf-16-be"),
    ],
)
def test_what_spreadsheets_and_directories_write_is_read(content: bytes) -> None:
    assert read(content, NODES) == ANNA


def test_good_lines_keep_their_numbers() -> None:
    content = '\ufeff\r\nuser_id,home_node,note\r\n\r\n"anna",a,"two\r\nlines"\r\nbert,,'
    assert read(content, NODES) == [ImportLine(4, "anna", "a"), ImportLine(6, "bert", None)]


def test_a_line_that_names_the_separator_is_no_header() -> None:
    assert read("sep=;\r\nuser_id;home_node\r\nanna;a", NODES) == [ImportLine(3, "anna", "a")]


def test_what_is_written_is_read_again() -> None:
    homes = [("anna", "a"), ("bert", None), ("d.e_f@g+h-1", "b")]
    content = written(homes)
    assert content == b"user_id,home_node\nanna,a\nbert,\nd.e_f@g+h-1,b\n"
    assert [(line.user_id, line.home) for line in read(content, NODES)] == homes


# What is refused


@pytest.mark.parametrize(
    "line, value, reason",
    [
        (b"anna", "anna", "has 1 field, and the header 2"),
        (b"anna,a,b", "anna,a,b", "has 3 fields, and the header 2"),
        (
            b"anna;a",
            "anna;a",
            "has 1 field, and the header 2; it is separated by ';', and the header is not: "
            "use one separator",
        ),
        (b",a", ",a", "has no user id"),
        (b"x" * 129 + b",a", "x" * 80 + "...", "is longer than 128 characters"),
        (b"an na,a", "an na", "holds a character that is not one of A-Z a-z 0-9 . _ @ + -"),
        (b"anna,c", "c", "is not a node of this group (a, b)"),
        (b"anna,A", "A", "is not a node of this group (a, b)"),
        (b"first,a", "first", "is on line 2 already"),
        (b"First,a", "First", "is on line 2 in other case, as first"),
        (
            b"an\xffna,a",
            "an\\xffna",
            "holds a character that is not one of A-Z a-z 0-9 . _ @ + -",
        ),
        (
            b"an\x00na,a",
            "an\x00na",
            "holds a character that is not one of A-Z a-z 0-9 . _ @ + -",
        ),
        (b'"an"na,a', '"an"na,a', "is not CSV (',' expected after '\"')"),
    ],
)
def test_a_bad_line_is_reported(line: bytes, value: str, reason: str) -> None:
    content = b"user_id,home_node\nfirst,a\n" + line + b"\nlast,b\n"
    assert bad_lines(content) == (BadLine(3, value, reason),)


@pytest.mark.parametrize(
    "begin", [b"PK\x03\x04\x14\x00\x06\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0"]
)
def test_the_file_of_a_spreadsheet_is_told_as_one(begin: bytes) -> None:
    """It was told as UTF-16 without a byte order mark."""
    with pytest.raises(BadRequest, match=r"the file of a spreadsheet .*export it as CSV"):
        read(begin + b"\0" * 100, NODES)


def test_a_quote_that_does_not_end_is_told_where_it_begins() -> None:
    assert bad_lines('user_id,home_node\n"anna,a\nbert,b\n') == (
        BadLine(2, '"anna,a', "is not CSV (unexpected end of data)"),
    )


@pytest.mark.parametrize(
    "record, value, reason",
    [
        ("anna,a" + "," * RECORD_CHARS_MAX, "anna,a" + "," * 1000, ""),
        ("anna" * RECORD_CHARS_MAX, "anna" * 1000, ""),
        (
            '"anna\n' + '","\n' * (RECORD_CHARS_MAX // 4),
            '"anna',
            "; a quote that begins here does not end",
        ),
    ],
)
def test_a_record_is_bounded_before_it_is_split(record: str, value: str, reason: str) -> None:
    """A line of 8 MB of commas held the event loop for half a second, beside the heartbeats."""
    with pytest.raises(BadImport) as caught:
        read(f"user_id,home_node\n{record}\nbert,b\n", NODES)
    assert caught.value.lines[0] == BadLine(
        2, shortened(value), f"is longer than {RECORD_CHARS_MAX} characters{reason}"
    )


def test_the_longest_record_is_read() -> None:
    further = "," * (RECORD_CHARS_MAX - len("user_id,home_node\n"))
    assert read(f"user_id,home_node{further}\nanna,a{further}\n", NODES) == [
        ImportLine(2, "anna", "a")
    ]


def test_all_bad_lines_are_reported_together() -> None:
    assert bad_lines("user_id,home_node\n,a\nbert,c\nbert,b\nbert,b\n") == (
        BadLine(2, ",a", "has no user id"),
        BadLine(3, "c", "is not a node of this group (a, b)"),
        BadLine(5, "bert", "is on line 4 already"),
    )


@pytest.mark.parametrize(
    "content, line, value, reason",
    [
        ("anna,a\nbert,c\n", 1, "anna,a", NO_HEADER.format("user_id")),
        ("user_id home_node\nanna a\n", 1, "user_id home_node", NO_HEADER.format("user_id")),
        ("user_id\nanna\n", 1, "user_id", NO_HEADER.format("home_node")),
        (
            "user_id,home_node,User ID\n",
            1,
            "user_id,home_node,User ID",
            "is no good header: it has the column user_id 2 times",
        ),
        ("", 1, "", "is no header: the file is empty"),
        ("\n\n", 1, "", "is no header: the file is empty"),
        ('"user_id,home_node\n', 1, '"user_id,home_node', "is not CSV (unexpected end of data)"),
        (
            "," * 8_000_000,
            1,
            shortened("," * 1000),
            f"is longer than {RECORD_CHARS_MAX} characters",
        ),
    ],
)
def test_a_bad_header_is_told_alone(content: str, line: int, value: str, reason: str) -> None:
    """Sixty thousand lines with a semicolon for each comma were as many problems."""
    assert bad_lines(content) == (BadLine(line, value, reason),)


def test_the_report_is_bounded_and_says_how_many_more() -> None:
    with pytest.raises(BadImport) as caught:
        read("user_id,home_node\n" + ",a\n" * 25_000, NODES)
    assert len(caught.value.lines) == LINES_TOLD_MAX
    assert caught.value.count == 25_000
    assert str(caught.value).endswith("line 11: ',a' has no user id; and 24990 more")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32"])
def test_wide_characters_without_a_mark_are_refused_with_a_way_out(encoding: str) -> None:
    content = "user_id,home_node\nanna,a\n".encode(encoding)
    with pytest.raises(BadRequest, match="without a byte order mark; save it as UTF-8"):
        read(content, NODES)


def test_a_file_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(BadRequest, match="more than 33554432 bytes"):
        read(b"x" * (BYTES_MAX + 1), NODES)
    header = b"user_id,home_node\n"
    assert read(header + b"\n" * LINES_MAX, NODES) == []
    with pytest.raises(BadRequest, match="more than 150000 lines; split the file"):
        read(header + b"\n" * (LINES_MAX + 1), NODES)
    assert len(read(header + b"".join(b"u%d,a\n" % n for n in range(LINES_MAX)), NODES)) == (
        2 * USERS_MAX
    )


def test_a_user_who_is_present_in_other_case_is_no_new_one() -> None:
    lines = [ImportLine(2, "anna", "a"), ImportLine(3, "bert", "b")]
    assert new_lines(lines, {"anna": "a"}) == lines[1:]
    with pytest.raises(BadImport) as caught:
        new_lines(lines, {"Anna": "a"})
    assert caught.value.lines == (
        BadLine(2, "anna", "is present in other case, as Anna; write it so"),
    )


# Whatever stands in it


def refused_lines(content: str | bytes) -> list[int]:
    """The numbers of the bad lines, none when the content is good; any other error is a defect."""
    try:
        read(content, NODES)
    except BadImport as error:
        return [line.line for line in error.lines]
    except BadRequest:
        return [0]
    return []


@given(st.text() | st.binary())
def test_any_content_is_read_or_refused_with_line_numbers(content: str | bytes) -> None:
    numbers = refused_lines(content)
    assert numbers == sorted(set(numbers))


PARTS = [b"u1", b"u2", b",a", b",", b"\n", b"\r", b'"', b"\xff", b"\0", b";", b"sep=", b"\t"]


@given(st.lists(st.sampled_from(PARTS)))
def test_any_body_is_read_or_refused_with_line_numbers(parts: list[bytes]) -> None:
    content = b"user_id,home_node\n" + b"".join(parts)
    numbers = refused_lines(content)
    assert 1 not in numbers
    if not numbers:
        found = read(content, NODES)
        assert len({line.user_id for line in found}) == len(found)


_HOMES = st.dictionaries(
    st.from_regex("[A-Za-z0-9._@+-]{1,8}", fullmatch=True), st.sampled_from([*NODES, None])
)


@given(_HOMES)
def test_any_users_are_written_and_read_again(homes: dict[str, str | None]) -> None:
    kept = {user_id.lower(): (user_id, home) for user_id, home in homes.items()}.values()
    assert [(line.user_id, line.home) for line in read(written(kept), NODES)] == list(kept)
