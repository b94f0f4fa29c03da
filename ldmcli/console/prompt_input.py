"""A question on the terminal, for a command that was given no prompt."""

import contextlib
import sys
from collections.abc import Sequence

from ldmcli.console.text import printable
from ldmcli.errors import UsageError
from ldmcli.runtime import signals


def on_terminal() -> bool:
    """Whether somebody is there to read, and to answer."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def ask_prompt(examples: Sequence[str], model: str | None) -> str:
    """Show how the examples are typed and read a prompt; a blank line takes the first. model: as -m had it.

    Raises UsageError at the end of input (Ctrl-D).
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its arrow keys
    flag = f" -m {printable(model)}" if model else ""
    print("No prompt was given. For example:", file=sys.stderr)
    for example in examples:
        print(f'  ldm generate "{example}"{flag}', file=sys.stderr)
    try:
        with signals.interruptible():  # the terminal has to be set right again
            answer = input(f"Prompt (Enter for {examples[0]}): ")
    except EOFError:
        print(file=sys.stderr)
        raise UsageError("no prompt was given.", hint=f'Try: ldm generate "{examples[0]}"') from None
    return answer.strip() or examples[0]
