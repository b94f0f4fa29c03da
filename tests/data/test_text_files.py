"""Texts that a user hands over: which encodings are read, where a line ends, and CSV as RFC 4180 has it."""

import csv
import io

import pytest

from ldmcli.data.text_file import csv_rows, decoded, read_json, read_text, text_lines
from ldmcli.errors import LdmError, NotFound

CAFE = "a café\na 猫 by the sea\n"
ENCODINGS = {
    "utf-8": CAFE.encode(),
    "utf-8 with a mark": b"\xef\xbb\xbf" + CAFE.encode(),
    "utf-16-le with a mark": b"\xff\xfe" + CAFE.encode("utf-16-le"),
    "utf-16-be with a mark": b"\xfe\xff" + CAFE.encode("utf-16-be"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_text_is_read_without_its_mark(tmp_path, name):
    (tmp_path / "a.txt").write_bytes(ENCODINGS[name])
    assert read_text(tmp_path / "a.txt") == CAFE


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("a cat\na café\n".encode("cp1252"), r"a\.txt, line 2: not UTF-8: byte 0xe9 at place 6, which would be 'é' in Windows-1252\.$"),
        ("a cat\r\n\r\n猫\n".encode("shift-jis"), r"a\.txt, line 3: not UTF-8: byte 0x94 at place 1"),
        ("a cat\rcafé".encode("latin-1"), r"a\.txt, line 2: not UTF-8: byte 0xe9 at place 4"),
        ("a cat\nx".encode("utf-16-le"), r"a\.txt, line 1: a NUL byte, as in UTF-16 without a byte order mark\.$"),
        ("猫\n".encode("utf-16-be"), r"a\.txt, line 1: "),
        ("a\nb".encode("utf-32"), r"a\.txt, line 1: UTF-32, not UTF-8\.$"),
        (b"\xff\xfea\0\n\0b", r"a\.txt, line 2: not UTF-16, as its byte order mark says: truncated data\.$"),
        (b"\xff\xfe\x00\xd8a\0", r"a\.txt, line 1: not UTF-16, as its byte order mark says"),
    ],
)
def test_any_other_text_is_refused_by_file_line_and_encoding(tmp_path, raw, told):
    (tmp_path / "a.txt").write_bytes(raw)
    with pytest.raises(LdmError, match=told) as caught:
        read_text(tmp_path / "a.txt")
    assert "UTF-8" in caught.value.hint and caught.value.exit_code == 1


def test_what_is_not_there_and_what_is_no_file(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(LdmError, match="cannot be read: Is a directory"):
        read_text(tmp_path)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b'{"a": 1'])
def test_what_is_no_json_is_refused_by_name(tmp_path, body):
    (tmp_path / "a.json").write_bytes(body)
    with pytest.raises(LdmError, match=r"a\.json is not readable JSON"):
        read_json(tmp_path / "a.json")


def test_json_with_a_mark_is_json(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe" + '{"é": 1}'.encode("utf-16-le"))
    assert read_json(tmp_path / "a.json") == {"é": 1}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb\rc\n\nd", ["a", "b", "c", "", "d"]),
        ("a\u2028b\x0bc\x0cd\x85e\x1cf", ["a\u2028b\x0bc\x0cd\x85e\x1cf"]),
    ],
)
def test_a_line_ends_where_a_line_ends(text, lines):
    assert text_lines(text) == lines


ROWS = [
    ["a.png", "one, and\nmore"],
    ["b.png", 'two "quoted"'],
    ["c.png", "three\u2028four\x85five"],
    ["d.png", "six\r\nseven\rsix"],
    ["e.png", ""],
    ["f.png", " blank at both ends "],
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_gives_back_what_the_csv_module_wrote(end):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows([["file_name", "text"], *ROWS])
    assert [[row["file_name"], row["text"]] for _, row in csv_rows(text.getvalue(), "a.csv")] == ROWS


def test_csv_knows_the_first_line_of_each_row_and_short_rows_lack_what_they_lack():
    text = '\nfile_name,text\n\na.png,"one\ntwo"\nb.png\nc.png,three\n'
    assert csv_rows(text, "a.csv") == [
        (4, {"file_name": "a.png", "text": "one\ntwo"}),
        (6, {"file_name": "b.png"}),
        (7, {"file_name": "c.png", "text": "three"}),
    ]
    assert csv_rows("", "a.csv") == csv_rows("file_name,text\n", "a.csv") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,caption\na.png,a cat\nb.png,a cat, asleep\n", r"^a\.csv, line 3: 3 fields for 2 columns\.$"),
        ('image,caption\na.png,"a\ncat"\nb.png,a cat,\n', r"^a\.csv, line 4: 3 fields for 2 columns\.$"),
        ('image,caption\na.png,a cat\nb.png,"a cat\nc.png,a dog\n', r"^a\.csv, line 3: not CSV: unexpected end of data\.$"),
        ('image,caption\na.png,"a" cat\n', r"^a\.csv, line 2: not CSV: "),
        ("image,caption,caption\na.png,x,y\n", r"^a\.csv, line 1: two columns are called 'caption'\.$"),
        ("image,caption\na.png," + "x" * 200_000, r"^a\.csv, line 2: not CSV: field larger"),
    ],
)
def test_csv_that_does_not_say_what_belongs_where_is_refused_by_its_line(text, told):
    with pytest.raises(LdmError, match=told) as caught:
        csv_rows(text, "a.csv")
    assert caught.value.exit_code == 1


def test_the_name_stands_for_the_bytes_of_a_member_too():
    with pytest.raises(LdmError, match=r"^000\.tar: a\.txt, line 1"):
        decoded(b"\xe9", "000.tar: a.txt")
