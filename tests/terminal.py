"""A terminal (a pty) for a command: what it shows is read while it runs, and what is typed comes when somebody listens."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from forks import Child, begin
from running import DEADLINE

AGAIN = 5.0
"""Seconds without an answer after which the key is pressed once more, where the system does not say who waits for input."""

ON_TTY = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
"""Makes stdin the terminal of the session, so that Ctrl-C is a signal, and becomes the command."""

WAITING = ("n_tty_read", "wait_woken", "select", "poll")
"""Where in the kernel a process sleeps that waits for a key."""


class Terminal:
    """A command with stdin and stderr on a terminal of its own; killed at the deadline and at the end of `with`."""

    def __init__(
        self, command: Sequence[str] | Callable[[], int], env: Mapping[str, str], *, stdout_too: bool = True, cwd: Path | None = None
    ):
        """command: a program and its arguments, or what a fork of this process does, which spares the imports. stdout_too: whether stdout
        is the terminal as well, or a file (`printed`)."""
        self.end = time.monotonic() + DEADLINE
        self.screen = b""
        self.out = tempfile.TemporaryFile()
        self.ours, theirs = pty.openpty()
        streams = theirs, theirs if stdout_too else self.out.fileno(), theirs
        self.process: subprocess.Popen[bytes] | Child
        try:
            if callable(command):
                self.process = begin(lambda: self._on_terminal(command, env, cwd), streams)
            else:
                program = [sys.executable, "-ISc", ON_TTY, *command]
                stdin, stdout, stderr = streams
                self.process = subprocess.Popen(
                    program, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, start_new_session=True
                )
        finally:
            os.close(theirs)

    def _on_terminal(self, work: Callable[[], int], env: Mapping[str, str], cwd: Path | None) -> int:
        """What the fork does: the same as ON_TTY in a session of its own, and then the work."""
        os.setsid()
        os.close(self.ours)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.environ.clear()
        os.environ.update(env)
        if cwd is not None:
            os.chdir(cwd)
        return work()

    def read(self, seconds: float) -> bool:
        """Wait so long for something to show. Returns whether the command can still show something."""
        left = self.end - time.monotonic()
        assert left > 0, f"waited too long; the terminal shows: {self.screen!r}"
        if not select.select([self.ours], [], [], min(seconds, left))[0]:
            return True
        try:
            part = os.read(self.ours, 65536)
        except OSError:  # the other side has closed
            part = b""
        self.screen += part
        return part != b""

    def until(self, text: str) -> None:
        """Until this is on the screen; fails when the command ends before."""
        while text.encode() not in self.screen:
            assert self.read(1.0), f"it ended without {text!r}: {self.screen!r}"

    def listen_for_signals(self) -> bool | None:
        """Whether the command sleeps until a key comes; None where the system does not say."""
        try:
            where = Path(f"/proc/{self.process.pid}/wchan").read_text()
        except OSError:
            return None
        return any(name in where for name in WAITING) if where not in ("", "0") else None

    def press(self, keys: str) -> None:
        """Type this once the command waits for it, and see to it that it is answered.

        A key that comes before may be lost: Ctrl-C between two instructions interrupts no read that begins after it.
        """
        while self.listen_for_signals() is False:
            assert self.read(0.01), f"it ended before it was asked: {self.screen!r}"
        sure, before = self.listen_for_signals(), len(self.screen)
        os.write(self.ours, keys.encode())
        while len(self.screen) == before and self.read(1.0 if sure else AGAIN):
            if len(self.screen) == before and not sure:
                os.write(self.ours, b"\x15" + keys.encode())  # Ctrl-U: what may have come is taken back

    def ended(self) -> tuple[int, str]:
        """(exit code, what the terminal has received), once the command is over."""
        while self.read(1.0):
            pass
        code = self.process.wait(max(1.0, self.end - time.monotonic()))
        return code, self.screen.decode()

    def printed(self) -> str:
        """What went to stdout where that is not the terminal."""
        self.out.seek(0)
        return self.out.read().decode()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.ours)
        self.out.close()
