"""What lies inside tar archives: images by the place of their bytes, small files whole. Nothing goes to the disk."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from harness.data.images import is_image_name
from harness.data.sources.source import Skip
from harness.errors import UsageError

GZIP = b"\x1f\x8b"  # how such a file begins
LONGEST_READ = 1 << 20  # bytes: an archive's headers are short, and one that claims otherwise is not believed


class Member(NamedTuple):
    """A file inside an archive."""

    name: str
    start: int  # of its bytes, in the archive's file
    size: int


def images_in(archive: Path) -> Iterator[Member | Skip]:
    """Image files in a tar. Raises UsageError for one that is truncated, damaged or compressed."""
    for found in _members(archive, archive.name, 0, archive.stat().st_size):
        yield found if isinstance(found, Skip) or _is_image(found) else _no_image(archive.name, found)


def images_in_tars_in(archive: Path) -> Iterator[tuple[str, Member | Skip]]:
    """Image files in the tars of a tar, each with the inner tar's name without its suffix. Raises UsageError."""
    for tar in _members(archive, archive.name, 0, archive.stat().st_size):
        if isinstance(tar, Skip):
            yield "", tar
        elif not tar.name.endswith(".tar"):
            yield "", Skip(f"{archive.name}/{tar.name}", "it is no tar, as its neighbours are")
        else:
            title = f"{archive.name}/{tar.name}"
            for found in _members(archive, title, tar.start, tar.start + tar.size):
                kept = isinstance(found, Skip) or _is_image(found)
                yield PurePosixPath(tar.name).stem, found if kept else _no_image(title, found)


def files_in(archive: Path, wanted: Callable[[str], bool], most: int) -> Iterator[tuple[str, bytes]]:
    """Regular files of a plain or gzipped tar whose names, without folders, are wanted: name and bytes.

    Raises UsageError for an archive that is truncated or none, and for a file of more than `most` bytes.
    """
    try:
        with _unzipped(archive) as file:
            # Its headers are read carefully: those of a few packed bytes may claim gigabytes.
            tar = tarfile.TarFile(fileobj=_Careful(file, 0))  # type: ignore[arg-type]
            while (entry := tar.next()) is not None:
                name = PurePosixPath(entry.name).name
                if not entry.isreg() or entry.issparse() or not wanted(name):
                    continue
                if entry.size > most:
                    raise UsageError(f"{archive}: {name} has {entry.size:,} bytes, expected at most {most:,}")
                file.seek(entry.offset_data)
                data = file.read(entry.size)
                if len(data) < entry.size:
                    raise tarfile.ReadError(f"{name} breaks off")
                yield name, data
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, tarfile.TarError) as error:
        raise UsageError(f"{archive} is truncated, or no tar, plain or gzipped ({error}): download it again") from None


def _unzipped(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    return cast(IO[bytes], gzip.open(archive)) if zipped else archive.open("rb")


def _is_image(found: Member | Skip) -> bool:
    return is_image_name(found.name)


def _no_image(title: str, found: Member | Skip) -> Skip:
    return Skip(f"{title}/{found.name}", "its name is not that of an image")


class _Careful:
    """A file of which only short pieces are read, from a place onwards."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        self._file = file
        file.seek(start)
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _members(archive: Path, title: str, start: int, end: int) -> Iterator[Member | Skip]:
    """Regular files of the tar that lies from `start` to `end` in a file, and what else it holds but folders."""
    with archive.open("rb") as file:
        try:
            # A TarFile takes its beginning from where its file stands, so that every place it gives is the file's.
            tar = tarfile.TarFile(fileobj=_Careful(file, start))  # type: ignore[arg-type]
            while (entry := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # or it would remember a million
                if entry.offset_data + entry.size > end:
                    raise tarfile.ReadError(f"{entry.name!r} goes on behind its end")
                found = _checked(title, entry)
                if found is not None:
                    yield found
            file.seek(tar.offset)
            mark = file.read(tarfile.BLOCKSIZE) if tar.offset + tarfile.BLOCKSIZE <= end else b""
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            raise UsageError(f"{title} in {archive.parent} is no whole tar ({error}): {_ADVICE}") from None
        if mark != bytes(tarfile.BLOCKSIZE):
            what = "damaged" if mark else "truncated: its end mark is missing"
            raise UsageError(f"{title} in {archive.parent} is {what} at byte {tar.offset - start:,}: {_ADVICE}")


_ADVICE = "download it again, and leave it uncompressed"


def _checked(title: str, entry: tarfile.TarInfo) -> Member | Skip | None:
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts:
        return Skip(f"{title}/{entry.name}", "its name leads out of the archive")
    if entry.isdir():
        return None
    if not entry.isreg():
        return Skip(f"{title}/{entry.name}", "it is a link or a device, not a file")
    if entry.issparse():
        return Skip(f"{title}/{entry.name}", "it is stored with holes")
    return Member(entry.name, entry.offset_data, entry.size)
