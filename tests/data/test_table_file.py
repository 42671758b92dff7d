"""A CSV file is read as it was meant, or refused in one line."""

import codecs
import os

import psutil
import pytest

from fedlearn_edu.data import table_file
from fedlearn_edu.data.table_file import read_columns
from fedlearn_edu.errors import RunError, UsageError


def write(folder, content, *, encoding="utf-8", name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return str(path)


def as_lists(columns):
    return {name: cells.tolist() for name, cells in columns.items()}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path, separator):
    text = "a,b,c\n1,x,\n2, y ,z\n".replace(",", separator)
    assert as_lists(read_columns(write(tmp_path, text))) == {"a": ["1", "2"], "b": ["x", "y"], "c": ["", "z"]}


def test_decimal_commas_are_no_separators(tmp_path):
    path = write(tmp_path, "price;weight\n1,5;2,25\n3,0;4,75\n")
    assert as_lists(read_columns(path)) == {"price": ["1,5", "3,0"], "weight": ["2,25", "4,75"]}


def test_quotes_hold_separators_and_line_breaks(tmp_path):
    path = write(tmp_path, 'a,b\n"one, two","three\nfour"\n5,6\n')
    assert as_lists(read_columns(path)) == {"a": ["one, two", "5"], "b": ["three\nfour", "6"]}


@pytest.mark.parametrize("lead", [b"", codecs.BOM_UTF8])
def test_utf_8_with_and_without_a_mark(tmp_path, lead):
    columns = read_columns(write(tmp_path, lead + "größe,y\nÄ,1\n".encode()))
    assert as_lists(columns) == {"größe": ["Ä"], "y": ["1"]}


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le"])
def test_another_encoding_is_named(tmp_path, encoding):
    path = write(tmp_path, "größe,y\nÄ,1\n", encoding=encoding)
    with pytest.raises(UsageError, match=r"UTF-16|is no UTF-8|zero bytes") as caught:
        read_columns(path)
    assert "\n" not in str(caught.value)
    assert as_lists(read_columns(path, encoding=encoding)) == {"größe": ["Ä"], "y": ["1"]}


def test_the_line_that_is_no_utf_8_is_named_however_far_down(tmp_path):
    rows = "".join(f"{i},x\n" for i in range(200_000))
    path = write(tmp_path, f"a,b\n{rows}7,Ä\n", encoding="cp1252")
    with pytest.raises(UsageError, match=r"line 200002, byte 0xc4.*encoding='cp1252'"):
        read_columns(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"a,b\n", "a header and no row"),
        (b"a\n1\n2\n", "one column only, 'a'"),
        (b"PK\x03\x04rest", "workbook"),
        (b"a,b\n1,\x00\n", "zero bytes"),
        (b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"a,a\n1,2\n", "two columns of 't.csv' are called 'a'"),
        (b'a,"b\x07"\n1,2\n', "control characters"),
        (b'a,b\n1,"2\n', "EOF inside string"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        read_columns(write(tmp_path, content))
    assert len(str(caught.value).splitlines()) == 1


def test_encodings_that_are_none(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n")
    for encoding in ("klingon", "rot13", "base64", 7):
        with pytest.raises(UsageError, match="encoding: expected one that Python knows"):
            read_columns(path, encoding=encoding)


def test_a_short_line_and_a_column_without_a_name(tmp_path):
    columns = read_columns(write(tmp_path, ",b,c\n0,1,2\n1,3\n\n"))
    assert as_lists(columns) == {"column 1": ["0", "1"], "b": ["1", "3"], "c": ["2", ""]}


def test_several_chunks_are_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(table_file, "_CHUNK_ROWS", 7)
    path = write(tmp_path, "a,b\n" + "".join(f"{i},x{i}\n" for i in range(50)))
    assert read_columns(path)["b"].tolist() == [f"x{i}" for i in range(50)]


def test_ten_gigabytes_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = write(tmp_path, "a,b\n" + "".join(f"{i},x\n" for i in range(300_000)))
    os.truncate(path, 10**10)  # sparse: nothing of it lies on the disk
    memory = psutil.virtual_memory()._replace(available=2 * 10**9)
    monkeypatch.setattr(table_file.psutil, "virtual_memory", lambda: memory)
    before = psutil.Process().memory_info().rss
    with pytest.raises(RunError, match=r"has 10\.0 GB and would take about \d+\.\d GB of memory, 1\.6 GB are free"):
        read_columns(path)
    assert psutil.Process().memory_info().rss - before < 300e6


def test_a_column_without_a_name_takes_nobodys_name(tmp_path):
    with pytest.raises(UsageError, match=r"two columns of 't\.csv' are called 'column 2'; rename one"):
        read_columns(write(tmp_path, "column 2,,y\n1,2,3\n"))
