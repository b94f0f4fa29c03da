"""The commands' errors in the words of Python: an option is an argument there, and a hint stands under the traceback."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ldmcli.errors import LdmError

FLAG = re.compile(r"(?:(?<!\S)-\w/)?(?<![\w-])--([a-z][a-z-]*)")


def in_python(text: str) -> str:
    """`--cfg-rescale must be ...` -> `cfg_rescale must be ...`."""
    return FLAG.sub(lambda flag: flag[1].replace("-", "_"), text)


@contextmanager
def python_words() -> Iterator[None]:
    """Around every public call; also a decorator."""
    try:
        yield
    except LdmError as error:
        error.message, error.hint = in_python(error.message), in_python(error.hint)
        error.args = (error.message,)
        if error.hint and error.hint not in getattr(error, "__notes__", ()):
            error.add_note(error.hint)
        raise
