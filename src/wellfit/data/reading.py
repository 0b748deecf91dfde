"""Bytes of source files, unpacked, in blocks, and how far that has come; strict decoding."""

from __future__ import annotations

import codecs
import gzip
import io
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from wellfit.data.sources import SourceFile
from wellfit.errors import DataError, need
from wellfit.units import format_bytes

BLOCK_BYTES = 1 << 20
_TOLD_EVERY_S = 0.1
_BEFORE_NUMBER = {"parquet": ": row ", "json": ": record "}  # of files without lines
_ZSTD_STEP = 1 << 12  # a block of zstd may grow 30,000-fold, so only so much is fed at once

LEAVE_OUT = "To leave such records out and count them: data.on_bad=skip"

OnRead: TypeAlias = Callable[[int], None]
"""Told how many bytes of a file on disk have been taken since the last time."""

Stage: TypeAlias = Literal["wait", "fingerprint", "read", "compare", "tokenizer", "encode", "audit"]


class Progress(NamedTuple):
    """Bytes of the files on disk that a stage has got through, of how many.

    Stages follow each other in the order of ``Stage``; ``wait`` means that another process is
    preparing the same data, and ``audit`` has no bytes to count.
    """

    stage: Stage
    done_bytes: int
    total_bytes: int


Listener: TypeAlias = Callable[[Progress], None]


class Reporter:
    """Adds up bytes and tells the listener, at most ten times a second."""

    def __init__(self, listener: Listener | None, total_bytes: int) -> None:
        self._listener = listener
        self._total = total_bytes
        self._told_s = 0.0

    def stage(self, stage: Stage) -> OnRead:
        """Begin a stage; the function it returns is told of bytes as they are read."""
        done = 0

        def on_read(n_bytes: int) -> None:
            nonlocal done
            done += n_bytes
            if not done or time.monotonic() - self._told_s >= _TOLD_EVERY_S:
                self._told_s = time.monotonic()
                if self._listener is not None:
                    self._listener(Progress(stage, min(done, self._total), self._total))

        on_read(0)
        return on_read


class Bad(Exception):
    """A record that cannot be used: the kind of trouble to count, such as "NUL", and the story.

    It is where its record begins, unless ``place`` says more.
    """

    def __init__(self, kind: str, story: str, place: str = "") -> None:
        super().__init__(story)
        self.kind, self._place = kind, place

    def place(self, file: SourceFile, number: int) -> str:
        """Where it is, for record ``number`` of a file: ``corpus/a.txt:12``."""
        return self._place or place_in(file, number)

    def error(self, file: SourceFile, number: int) -> DataError:
        """What to raise where such records are not left out."""
        return DataError(f"{self.place(file, number)}: {self}. {LEAVE_OUT}")


class Lines(NamedTuple):
    """Some whole lines of a file; of one that is longer than may be held, nothing."""

    data: bytes  # ends in a newline, unless the file ends first
    line: int  # number of the first, counted from 1
    byte: int  # where the first begins in the unpacked file


def place_in(file: SourceFile, number: int) -> str:
    """How a place is written: ``a.txt:12``, ``a.parquet: row 12``, or the file for 0."""
    if number == 0:
        return str(file.path)
    return f"{file.path}{_BEFORE_NUMBER.get(file.format, ':')}{number}"


def blocks(file: SourceFile, on_read: OnRead) -> Iterator[bytes]:
    """The unpacked bytes of a file, about a megabyte at a time.

    Raises ``DataError`` when the file cannot be opened, or its compression is cut off or
    damaged: that is so whatever ``data.on_bad`` says, since nobody knows what is missing.
    """
    try:
        with file.path.open("rb") as raw:
            told = 0
            for block in _unpacked(raw, file):
                on_read(raw.tell() - told)
                told = raw.tell()
                yield block
    except EOFError:
        raise DataError(_cut_off(file.path)) from None
    except (gzip.BadGzipFile, zlib.error) as e:
        raise DataError(f"{file.path} is not sound gzip: {e}. Fetch or write it again") from None
    except OSError as e:
        raise DataError(f"{file.path} cannot be read: {e.strerror or e}") from None


def _cut_off(path: Path) -> str:
    return f"{path} is cut off before its compressed data ends. Fetch or write it again"


def _unpacked(raw: BinaryIO, file: SourceFile) -> Iterator[bytes]:
    match file.compression:
        case ".zst":
            yield from _unpacked_zstd(raw, file.path)
        case ".gz" if file.n_bytes:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                while block := unpacked.read(BLOCK_BYTES):
                    yield block
        case _:
            while block := raw.read(BLOCK_BYTES):
                yield block


def _unpacked_zstd(raw: BinaryIO, path: Path) -> Iterator[bytes]:
    """Frame after frame.  The library's own stream reader takes a cut-off frame for the end."""
    zstandard = need("zstandard", extra="data", why=f"reading {path}")
    unpacker, inside = zstandard.ZstdDecompressor(), None
    ready = bytearray()
    try:
        while step := raw.read(_ZSTD_STEP):
            while step:
                inside = inside or unpacker.decompressobj()
                ready += inside.decompress(step)
                step, inside = (inside.unused_data, None) if inside.eof else (b"", inside)
            if len(ready) >= BLOCK_BYTES:
                yield bytes(ready)
                ready.clear()
    except zstandard.ZstdError as e:
        raise DataError(f"{path} is not sound zstandard: {e}. Fetch or write it again") from None
    if inside is not None:
        raise DataError(_cut_off(path))
    if ready:
        yield bytes(ready)


def text_blocks(file: SourceFile, encoding: str, on_read: OnRead) -> Iterator[str]:
    """The file's text in blocks, line ends as newline.  Raises ``Bad`` where it is no text.

    A byte order mark is no text.  Line ends are made newlines here, as Python's own text mode
    does, so that the same text saved on another system gives the same tokens.
    """
    decoding = codecs.getincrementaldecoder(encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    line, byte, first = 1, 0, True
    for block in chain(blocks(file, on_read), [b""]):
        try:
            text = newlines.decode(decoding.decode(block, not block), not block)
        except UnicodeDecodeError as e:  # e.object is the block behind what the last one left over
            start = byte + len(block) - len(e.object)
            raise undecodable(file, encoding, e, line=line, byte=start) from None
        byte_of_nul = byte + block.find(b"\0")
        byte += len(block)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        if (at := text.find("\0")) >= 0:
            place = f"{file.path}:{line + text.count(chr(10), 0, at)}"
            raise nul(f" at offset {byte_of_nul:,} of the file", place)
        line += text.count("\n")
        yield text


def lines_of(file: SourceFile, encoding: str, max_line: int, on_read: OnRead) -> Iterator[Lines]:
    """The file's bytes as runs of whole lines, in an encoding that writes newline as one byte.

    A line longer than ``max_line`` bytes is never held, nor given: its ``Lines`` has no data.
    """
    rest, lost, line, byte = bytearray(), 0, 1, 0
    for block in _plain_blocks(file, encoding, on_read):
        if end := block.rfind(b"\n") + 1:
            whole, block = bytes(rest) + block[:end], block[end:]
            yield from _bounded(whole, line, byte, lost, max_line)
            line, byte = line + whole.count(b"\n"), byte + lost + len(whole)
            rest, lost = bytearray(), 0
        rest += block
        if len(rest) > max_line:  # enough to know that it is too long
            lost += len(rest) - max_line - 1
            del rest[max_line + 1 :]
    if rest:
        yield from _bounded(bytes(rest), line, byte, lost, max_line)


def _bounded(whole: bytes, line: int, byte: int, lost: int, max_line: int) -> Iterator[Lines]:
    """Whole lines as one run; or one by one, those that are too long without their bytes.

    ``lost`` bytes of the first, which then is too long, are not in ``whole``.
    """
    if len(whole) <= max_line or max(map(len, whole.split(b"\n"))) <= max_line:
        yield Lines(whole, line, byte)
        return
    for one in kept_lines(whole):
        yield Lines(b"" if len(one.removesuffix(b"\n")) > max_line else one, line, byte)
        line, byte, lost = line + 1, byte + len(one) + lost, 0


def kept_lines(data: bytes) -> list[bytes]:
    """Lines with their newline.  ``bytes.splitlines`` would split at a lone CR as well."""
    *whole, last = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([last] if last else [])


def _plain_blocks(file: SourceFile, encoding: str, on_read: OnRead) -> Iterator[bytes]:
    """Blocks without byte order mark; in UTF-8 if the encoding writes newline as several bytes."""
    if "\n".encode(encoding) != b"\n":
        try:
            yield from (text.encode() for text in text_blocks(file, encoding, on_read))
        except Bad as bad:  # where the next line would begin is anyone's guess
            raise bad.error(file, 0) from None
        return
    found = blocks(file, on_read)
    if is_utf8(encoding):
        yield next(found, b"").removeprefix(codecs.BOM_UTF8)
    yield from found


def line_encoding(encoding: str) -> str:
    """The encoding that the bytes of ``lines_of`` are in."""
    return encoding if "\n".encode(encoding) == b"\n" else "utf-8"


def is_utf8(encoding: str) -> bool:
    """Whether the name is one of UTF-8's many."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def undecodable(
    file: SourceFile, encoding: str, error: UnicodeDecodeError, *, line: int, byte: int
) -> Bad:
    """The story of bytes that are not in the encoding; ``line`` and ``byte`` of error.object."""
    line += error.object[: error.start].decode(encoding, "replace").count("\n")
    at, value = byte + error.start, error.object[error.start]
    story = (
        f"byte 0x{value:02x} at offset {at:,} of the file is not {encoding} ({error.reason}). "
        f"{_other_encoding(error.object, byte == 0, encoding)}"
    )
    return Bad(f"not {encoding}", story, f"{file.path}:{line}")


_MARKS = (
    (codecs.BOM_UTF16_LE, "The file begins as UTF-16 does: data.encoding=utf-16"),
    (codecs.BOM_UTF16_BE, "The file begins as UTF-16 does: data.encoding=utf-16"),
    (b"\x1f\x8b", "The file begins as gzip does: give it a name that ends in .gz"),
    (b"\x28\xb5\x2f\xfd", "The file begins as zstandard does: give it a name that ends in .zst"),
    (b"PK\x03\x04", "The file begins as a zip archive does: unpack it"),
    (b"%PDF", "The file is a PDF: turn it into text first"),
    (b"PAR1", "The file begins as parquet does: data.format=parquet"),
    (b"\x89PNG", "The file is a picture"),
    (b"\x7fELF", "The file is a program"),
)


def _other_encoding(data: bytes, at_start: bool, encoding: str) -> str:
    known = (says for mark, says in _MARKS if at_start and data.startswith(mark))
    if found := next(known, None):
        return found
    if b"\0" in data:
        return "There are NUL bytes around it, as in a binary file"
    if is_utf8(encoding):
        return "If the text is in an older encoding, name it: data.encoding=latin-1"
    return "Name the encoding it is in with data.encoding"


def nul(offset: str = "", place: str = "") -> Bad:
    """The story of U+0000: valid UTF-8, but what binary files are full of and text never needs."""
    story = (
        f"a NUL character{offset}. Text has none, so this may be a binary file, or UTF-16 "
        "(data.encoding=utf-16)"
    )
    return Bad("NUL", story, place)


def too_long(max_line: int) -> Bad:
    """The story of a record that would not fit in the memory set aside for one."""
    story = f"the record is longer than data.max_line={format_bytes(max_line)}. Raise it"
    return Bad("too long", story)
