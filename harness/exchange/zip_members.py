"""The members of a zip archive, taken one at a time and never on the archive's word.

Python's zipfile parses it. What an archive claims is checked when it is opened (names, sizes, places, how many
members) and again while a member is read: one that unpacks to more or less than it declares is refused.

Reference: PKWARE, APPNOTE.TXT - .ZIP File Format Specification, sections 4.3 (structure) and 4.4 (fields).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.exchange.file_bytes import BoundedFile
from harness.exchange.foreign import FormatError
from reports.format import clean

MOST_MEMBERS = 20_000
MOST_DIRECTORY = 8 << 20  # bytes of the central directory, which is parsed whole
MOST_NAME = 1_000
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"
ENCRYPTED = 0x1 | 0x40
CHUNK = 1 << 20

# Whatever zipfile raises for archives that are damaged, or made to look so.
_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, zlib.error, NotImplementedError, ValueError, EOFError,
    OverflowError, RuntimeError, IndexError, KeyError,
)  # fmt: skip


class Archive:
    """An open archive. Every method raises FormatError, which names the file."""

    names: tuple[str, ...]  # of the members, in the archive's order; folders are left out

    def __init__(self, path: Path) -> None:
        self._path = path
        with ExitStack() as opened:
            self._file = opened.enter_context(BoundedFile(path, MOST_DIRECTORY))
            with self._blamed("is no whole zip archive"):
                self._zip = opened.enter_context(zipfile.ZipFile(self._file))
                self._members = self._checked(self._zip.infolist())
                self._places = {name: self._found(member) for name, member in self._members.items()}
                self._check_overlaps()
            self._opened = opened.pop_all()
        self.names = tuple(name for name in self._members if not name.endswith("/"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._opened.close()

    def size(self, name: str) -> int:
        """Bytes that a member declares to have, unpacked."""
        return self._member(name).file_size

    def read(self, name: str, most_bytes: int) -> bytes:
        """A member's bytes, at most `most_bytes` of them."""
        return b"".join(self._chunks(name, most_bytes))

    def head(self, name: str, count: int) -> bytes:
        """A member's first bytes, at most `count` of them; its checksum is not looked at."""
        with self._blamed(f"has a damaged member {name!r}"), self._zip.open(self._member(name)) as unpacked:
            return unpacked.read(count)

    def extract(self, name: str, to: Path, most_bytes: int) -> None:
        """Write a member's bytes to the file `to`, which is the caller's choice and never the archive's."""
        self._check_size(name, most_bytes)
        chunks = self._chunks(name, most_bytes)
        try:
            with to.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except OSError as error:
            raise FormatError(f"cannot write {str(to)!r}: {error.strerror or error}") from None

    def place(self, name: str) -> tuple[int, int] | None:
        """Offset and length of a stored member's bytes in the file, to be mapped; None where it is compressed.

        Bytes that are mapped are not held against the member's checksum, as `read` and `extract` do.
        """
        member = self._member(name)
        return self._places[name] if member.compress_type == zipfile.ZIP_STORED else None

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members or name.endswith("/"):
            raise FormatError(f"{str(self._path)!r} has no member {name!r}")
        return self._members[name]

    def _check_size(self, name: str, most_bytes: int) -> None:
        if (size := self.size(name)) > most_bytes:
            raise FormatError(
                f"{str(self._path)!r}: its member {name!r} would unpack to {size:,} bytes, at most {most_bytes:,} are"
                " expected"
            )

    def _chunks(self, name: str, most_bytes: int) -> Iterator[bytes]:
        self._check_size(name, most_bytes)
        member, total = self._member(name), 0
        with self._blamed(f"has a damaged member {name!r}"), self._zip.open(member) as unpacked:
            while chunk := unpacked.read(CHUNK):
                total += len(chunk)
                if total > member.file_size:
                    break
                yield chunk
            if total != member.file_size:
                raise zipfile.BadZipFile(f"unpacks to other than the {member.file_size:,} bytes it declares")

    def _checked(self, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(members) > MOST_MEMBERS:
            raise FormatError(
                f"{str(self._path)!r} has {len(members):,} members, at most {MOST_MEMBERS:,} are expected"
            )
        found: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            if member.filename in found:
                raise FormatError(f"{str(self._path)!r} has two members called {member.filename!r}")
            if why := _refused(member):
                raise FormatError(f"{str(self._path)!r}: its member {member.orig_filename[:100]!r} {why}")
            found[member.filename] = member
        return found

    def _found(self, member: zipfile.ZipInfo) -> tuple[int, int]:
        """Offset and length of a member's packed bytes, by its own header, which must say the same as the directory."""
        self._file.seek(member.header_offset)
        signature, _, flags, method, *_, name_length, extra_length = LOCAL_HEADER.unpack(
            self._file.read(LOCAL_HEADER.size)
        )
        name = self._file.read(name_length)
        encoding = "utf-8" if flags & 0x800 else "cp437"
        if signature != LOCAL_SIGNATURE or flags & ENCRYPTED or method != member.compress_type:
            raise zipfile.BadZipFile(f"the header of {member.filename!r} is not what the directory says")
        if name.decode(encoding) != member.orig_filename:
            raise zipfile.BadZipFile(f"the header of {member.filename!r} has another name")
        return member.header_offset + LOCAL_HEADER.size + name_length + extra_length, member.compress_size

    def _check_overlaps(self) -> None:
        """Members that share bytes are how a small archive unpacks to a large one."""
        end, before = 0, ""
        for name, (start, length) in sorted(
            self._places.items(), key=lambda item: self._members[item[0]].header_offset
        ):
            if self._members[name].header_offset < end:
                raise FormatError(f"{str(self._path)!r}: its members {before!r} and {name!r} overlap")
            end, before = start + length, name
        if end > self._zip.start_dir:
            raise FormatError(f"{str(self._path)!r}: its member {before!r} runs into the directory at its end")

    @contextmanager
    def _blamed(self, what: str) -> Iterator[None]:
        try:
            yield
        except FormatError:
            raise
        except OSError as error:
            raise FormatError(f"cannot read {str(self._path)!r}: {error.strerror or error}") from None
        except _DAMAGED as error:
            said = clean(str(error))[:200] or type(error).__name__
            raise FormatError(f"{str(self._path)!r} {what}: {said}") from None


def _refused(member: zipfile.ZipInfo) -> str:
    """Why a member is not accepted; "" where it is."""
    name = member.orig_filename
    parts = name.removesuffix("/").split("/")
    if not 0 < len(name) <= MOST_NAME or not name.isprintable() or "\\" in name or {"", ".", ".."} & set(parts):
        return "has a name that no such archive has"
    if name.endswith("/") and member.file_size:
        return "is a folder with contents"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {member.compress_type}, expected 0 (stored) or 8 (deflated)"
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
        return f"declares {member.file_size:,} bytes and has {member.compress_size:,}"
    return ""
