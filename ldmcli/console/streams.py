"""Standard output and error as they were given to us: closed, full, left by their reader, or in an encoding that lacks characters.

None of that ends a run: what was asked for is done, and the exit code says whether the results could be told.
"""

import codecs
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

OUT, ERR = 1, 2
"""File descriptors."""

ESCAPED = "ldm-escaped"
"""Name of the error handler of encodings."""


class Stream(io.FileIO):
    """Bytes to a file descriptor. The first failure is remembered instead of raised, and everything after it is dropped."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """All of it, also where the other end wants writers not to wait."""
        view = memoryview(data).cast("B")
        sent = 0
        while sent < len(view) and self.failure is None:
            try:
                sent += super().write(view[sent:]) or self._wait()
            except OSError as error:
                self.failure = error
        return len(view)

    def _wait(self) -> int:
        select.select([], [self], [])
        return 0


def secure() -> None:
    """Replace sys.stdout and sys.stderr by streams that never raise. What is closed leads nowhere."""
    for number in (0, OUT, ERR):
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened, a picture perhaps, would get this number and what libraries print
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    codecs.register_error(ESCAPED, _escaped)
    sys.stdout, sys.stderr = _secured(OUT, sys.stdout), _secured(ERR, sys.stderr)


def finish(code: int) -> int:
    """The exit code, when everything has been said: 1 for a success whose results were lost.

    A reader that left (`| head -1`) has what it wanted, and talk that nobody hears is no failure.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, Stream) or raw.failure is None or raw.failure.errno == errno.EPIPE:
        return code
    print(f"error: standard output could not be written: {raw.failure.strerror}.", file=sys.stderr, flush=True)
    return code or 1


def _secured(number: int, given: TextIO | None) -> TextIO:
    """The same text layer over a Stream. given: None where it was closed."""
    raw = Stream(number, "w", closefd=False)
    encoding = getattr(given, "encoding", None) or "utf-8"
    each_line = number == ERR or raw.isatty()
    whole = io.BufferedWriter(raw)
    return io.TextIOWrapper(whole, encoding, ESCAPED, line_buffering=each_line, write_through=getattr(given, "write_through", False))


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """What an encoding lacks as backslash escapes; bytes of a file name that are no text as they are, unless a terminal would obey them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = ord(error.object[error.start])
    if 0xDC80 <= character <= 0xDCFF and not os.isatty(OUT):
        return bytes([character - 0xDC00]), error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(one)
