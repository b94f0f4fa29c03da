"""Lists of a million items that are made when they are asked for, and texts that wait on the disk until then."""

import os
import tempfile
import weakref
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from typing import IO, TypeVar, overload

from ldmcli.errors import LdmError

Item = TypeVar("Item", covariant=True)

HELD_BYTES = 1 << 20
"""Of text that is in memory at most."""


class MadeWhenAsked(Sequence[Item]):
    """A list whose items are made anew each time."""

    @abstractmethod
    def item(self, number: int) -> Item:
        """0 <= number < len(self)."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self.item(number) for number in range(len(self))[index]]
        return self.item(range(len(self))[index])  # as any list: -1 is the last, and beyond the end is an IndexError

    def __iter__(self) -> Iterator[Item]:
        return map(self.item, range(len(self)))


class StoredTexts(MadeWhenAsked[str]):
    """Texts, of which all but the last are in a temporary file without a name: it is gone with the list, however the process ends."""

    def __init__(self) -> None:
        self._ends = array("Q")
        self._held = bytearray()
        self._written = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def append(self, text: str) -> None:
        """Raises LdmError where the disk takes no more."""
        self._held += text.encode(errors="surrogatepass")
        self._ends.append(self._written + len(self._held))
        if len(self._held) > HELD_BYTES:
            self._write()

    def item(self, number: int) -> str:
        """Raises LdmError for a disk that does not read."""
        start, end = self._ends[number - 1] if number else 0, self._ends[number]
        if start >= self._written:
            body = bytes(self._held[start - self._written : end - self._written])
        else:
            assert self._file is not None
            try:
                body = os.pread(self._file.fileno(), end - start, start)
            except OSError as error:
                raise _of_the_disk("read", error) from error
        return body.decode(errors="surrogatepass")

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)
                weakref.finalize(self, self._file.close)
            while self._held:
                count = self._file.write(self._held)
                assert count is not None
                self._written += count
                del self._held[:count]
        except OSError as error:
            raise _of_the_disk("write", error) from error


def _of_the_disk(what: str, error: OSError) -> LdmError:
    return LdmError(
        f"cannot {what} a temporary file in {tempfile.tempdir or 'any folder for such'}: {error.strerror}.",
        hint="TMPDIR names another folder.",
    )
