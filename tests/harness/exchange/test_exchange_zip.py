"""Zip archives: members come out whole; what an archive claims and does not keep is refused in one line."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from harness.exchange import zip_members
from harness.exchange.foreign import FormatError
from harness.exchange.zip_members import Archive

MEMBERS = {"a/first": b"one" * 50, "second.txt": bytes(range(256)) * 4, "empty": b""}


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return made.getvalue()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "file.zip"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_extracted_and_placed(tmp_path, compression):
    path = written(tmp_path, archive(MEMBERS, compression))
    with Archive(path) as found:
        assert found.names == tuple(MEMBERS)
        for name, data in MEMBERS.items():
            assert found.size(name) == len(data)
            assert found.read(name, len(data)) == data
            assert found.head(name, 5) == data[:5]
            found.extract(name, tmp_path / "out", len(data))
            assert (tmp_path / "out").read_bytes() == data
            place = found.place(name)
            if compression == zipfile.ZIP_DEFLATED:
                assert place is None
            else:
                assert place is not None
                assert path.read_bytes()[place[0] :][: place[1]] == data


def test_folders_are_left_out(tmp_path):
    with Archive(written(tmp_path, archive({"a/": b"", "a/b": b"x"}))) as found:
        assert found.names == ("a/b",)
        with pytest.raises(FormatError, match="has no member 'a/'"):
            found.size("a/")


def test_a_member_larger_than_asked_for_is_not_unpacked(tmp_path):
    path = written(tmp_path, archive({"bomb": bytes(50_000_000)}))
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    with Archive(path) as found:
        with pytest.raises(FormatError, match="would unpack to 50,000,000 bytes, at most 1,000,000 are expected"):
            found.read("bomb", 1_000_000)
        assert len(found.head("bomb", 100)) == 100
        with pytest.raises(FormatError, match="would unpack"):
            found.extract("bomb", tmp_path / "out", 1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert not (tmp_path / "out").exists()


def with_sizes(data: bytes, size: int) -> bytes:
    """An archive of one member, whose unpacked size is said to be another."""
    central = data.index(b"PK\x01\x02")
    made = bytearray(data)
    made[22:26] = made[central + 24 : central + 28] = struct.pack("<I", size)
    return bytes(made)


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_bomb_that_declares_less_or_more_than_it_has_is_found_out(tmp_path, size):
    path = written(tmp_path, with_sizes(archive({"bomb": bytes(50_000)}), size))
    with Archive(path) as found, pytest.raises(FormatError, match="has a damaged member 'bomb'"):
        found.read("bomb", 1_000_000)


def renamed(before: bytes, after: bytes) -> bytes:
    return archive({before.decode(): b"x", "other": b"y"}, zipfile.ZIP_STORED).replace(before, after)


def overlapping() -> bytes:
    """Both names of the directory are for the same bytes."""
    data = bytearray(archive({"aa": b"x" * 40, "bb": b"y" * 40}, zipfile.ZIP_STORED))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(data)


def nested() -> bytes:
    """A whole member lies within the bytes of another one, which is how a small file unpacks to petabytes."""
    inner = archive({"in": b"z" * 30}, zipfile.ZIP_STORED)
    local = inner[: inner.index(b"PK\x01\x02")]
    data = bytearray(archive({"out": local + b"!" * 10, "in": b"z" * 30}, zipfile.ZIP_STORED))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", bytes(data).index(local))
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(archive({"a": b"secret"}))
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    return bytes(data)


def method(number: int) -> bytes:
    data = bytearray(archive({"a": b"x" * 100}))
    central = data.index(b"PK\x01\x02")
    data[8:10] = data[central + 10 : central + 12] = struct.pack("<H", number)
    return bytes(data)


def damaged(offset: int, value: bytes, members: dict[str, bytes] | None = None) -> bytes:
    data = bytearray(archive(members or {"a": b"x" * 100}, zipfile.ZIP_STORED))
    central = data.index(b"PK\x01\x02")
    data[central + offset : central + offset + len(value)] = value
    return bytes(data)


REFUSED = {
    "two of one name": (renamed(b"first", b"other"), "two members called 'other'"),
    "a name that ends early": (renamed(b"first", b"fi\0st"), "has a name that no such archive has"),
    "a way out": (renamed(b"a/../b", b"a/../b"), "has a name that no such archive has"),
    "an absolute name": (renamed(b"/first", b"/first"), "has a name that no such archive has"),
    "a backslash": (renamed(b"fi/st", b"fi\\st"), "has a name that no such archive has"),
    "a line's end": (renamed(b"first", b"fi\nst"), "has a name that no such archive has"),
    "members that share bytes": (overlapping(), "has another name|overlap"),
    "a member in a member": (nested(), "overlap"),
    "secrets": (encrypted(), "is encrypted"),
    "another packing": (method(14), "packed by method 14|no whole zip"),
    "stored sizes that differ": (damaged(24, struct.pack("<I", 99)), "declares 99 bytes and has 100"),
    "a member beyond the end": (
        damaged(20, struct.pack("<II", 1 << 30, 1 << 30)), "runs into the directory at its end"
    ),
    "a place beyond the end": (damaged(42, struct.pack("<I", 1 << 30)), "is no whole zip archive"),
    "no archive": (b"PK\x03\x04" + bytes(100), "is no whole zip archive"),
    "nothing": (b"", "is no whole zip archive"),
    "half of one": (archive(MEMBERS)[:200], "is no whole zip archive"),
    "a directory of gigabytes": (
        archive({"a": b"x"})[:-10] + struct.pack("<IIH", 1 << 31, 0, 0), "is no whole zip archive"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_honest_archive_has_is_refused(tmp_path, name):
    data, message = REFUSED[name]
    with pytest.raises(FormatError, match=message) as caught:
        Archive(written(tmp_path, data))
    assert "\n" not in str(caught.value)
    assert "file.zip" in str(caught.value)


def test_a_changed_byte_is_found_by_the_checksum(tmp_path):
    data = archive({"a": b"x" * 100}, zipfile.ZIP_STORED).replace(b"x" * 100, b"x" * 99 + b"y")
    with Archive(written(tmp_path, data)) as found, pytest.raises(FormatError, match="damaged member 'a': Bad CRC"):
        found.read("a", 100)


def test_too_many_members_and_too_large_a_directory(tmp_path, monkeypatch):
    path = written(tmp_path, archive({str(place): b"" for place in range(50)}))
    monkeypatch.setattr(zip_members, "MOST_MEMBERS", 49)
    with pytest.raises(FormatError, match="has 50 members, at most 49 are expected"):
        Archive(path)
    monkeypatch.setattr(zip_members, "MOST_DIRECTORY", 1_000)
    with pytest.raises(FormatError, match="at once, at most 1,000 are expected"):
        Archive(path)


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe"])
def test_what_is_no_file(tmp_path, kind):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match=r"no regular file|cannot read"):
        Archive(tmp_path / kind)
