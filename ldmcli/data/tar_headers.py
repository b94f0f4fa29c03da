"""The headers of a tar file, one after the other, whatever a stranger has written into them."""

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ldmcli.errors import LdmError
from ldmcli.runtime.urls import shown

MAX_HEADER_BYTES = 2**20
"""Of a pax header or a long name; a usual one has 512."""


class _Headers:
    """What tarfile reads of a shard: headers, whose length a stranger has written too."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Raises ReadError for more than a header may have."""
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def members(shard: Path, file: BinaryIO, dropped: Counter[str]) -> Iterator[tarfile.TarInfo]:
    """Headers of the plain files of a shard. Raises LdmError for what is no tar."""
    magic = file.read(6)
    if magic[:2] == b"\x1f\x8b" or magic[:3] in (b"BZh", b"\xfd7z") or magic[:4] == b"\x28\xb5\x2f\xfd":
        raise LdmError(
            f"{shown(shard)} is compressed, so its pictures cannot be found by their place.", hint="Unpack it to a plain .tar first."
        )
    file.seek(0)
    try:
        with tarfile.open(fileobj=_Headers(file), mode="r:") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header that it has seen
                if member.size < 0:  # the next header would be one that was read already
                    raise tarfile.ReadError(f"{member.name} has {member.size} bytes")
                if member.isreg() and not member.issparse():
                    yield member
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, OSError) as error:
        if "unexpected end of data" not in str(error):
            raise LdmError(f"{shown(shard)} is not a readable tar file: {error}") from error
        dropped["shard that was cut short"] += 1
