"""Which exit code an error ends a process with, where something else than the error boundary has to know it. Imports nothing slow."""

from ldmcli.errors import LdmError, OutOfMemory
from ldmcli.runtime.signals import Interrupted

OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "failed to map segment", "can't start new thread",
)  # fmt: skip
"""What torch says on a GPU and on a CPU, the system, C++, the loader of libraries, and Python where a thread's stack finds no room."""


def says_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory; most libraries have no type of their own for it."""
    return isinstance(error, MemoryError) or (isinstance(error, Exception) and any(words in str(error).lower() for words in OUT_OF_MEMORY))


def exit_code_of(error: BaseException) -> int:
    """See `ldm --help`."""
    if isinstance(error, LdmError | Interrupted):
        return error.exit_code
    return OutOfMemory.exit_code if says_out_of_memory(error) else 1
