"""What the user is told when something in their world is wrong. Each family has one exit code (see `ldm --help`)."""

from typing import Any


class LdmError(Exception):
    """Something the user can mend: `message` says what and where, `hint` what to type next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """How it travels from one process to another; the arguments of its class may be others than those of LdmError."""
        return _sent, (type(self), self.args, self.__dict__)


def _sent(kind: type[LdmError], arguments: tuple[Any, ...], values: dict[str, Any]) -> LdmError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(values)
    return error


class UsageError(LdmError):
    """A value that was typed (command line, config file, prompts file) cannot be used."""

    exit_code = 2


class PartlyFailed(LdmError):
    """A batch of which some items finished and some did not."""

    exit_code = 3


class NonFinite(LdmError):
    """NaN or infinity appeared where numbers were needed."""

    exit_code = 4


class OutOfMemory(LdmError):
    """The device or the machine has too little memory for what was asked."""

    exit_code = 5


class NotFound(LdmError):
    """A model, file or folder is not there, or the hub cannot be reached."""

    exit_code = 6


class Stopped(LdmError):
    """A signal asked the run to end; it saved what it had. 130 after Ctrl-C, 143 after SIGTERM."""

    def __init__(self, message: str, *, exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class Agreed(LdmError):
    """An error of one process that the others know of as well; process 0 says it."""

    def __init__(self, message: str, *, exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class PeerLost(Agreed):
    """Another process of the same run or job has ended, or answers no more. hint: how to go on."""

    def __init__(self, detail: str, *, hint: str = "Go on with --resume auto.") -> None:
        hint = f"Its own message or the launcher's says why. {hint}"
        super().__init__(f"another process of this run has ended: {detail}", exit_code=1, hint=hint)


class Unheard(LdmError):
    """An error of one process in the middle of a step, where the others hear nothing: it says so itself and leaves, which they notice."""

    def __init__(self, error: LdmError, process: int) -> None:
        super().__init__(f"process {process}: {error.message}", hint=error.hint)
        self.error, self.exit_code = error, error.exit_code


class ToldElsewhere(LdmError):
    """Process 0 has said what is wrong; this one only ends with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code
