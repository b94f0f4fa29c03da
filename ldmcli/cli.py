"""The app: registers the commands. `main` is the only error boundary."""

import os
import resource
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from ldmcli import __version__
from ldmcli.commands.app import EPILOG, PLAIN, DeclaredGroup
from ldmcli.errors import LdmError, NotFound, OutOfMemory, ToldElsewhere
from ldmcli.runtime import signals
from ldmcli.runtime.ending import EXIT_CODES
from ldmcli.runtime.exit_codes import exit_code_of, says_out_of_memory

BadCommandLine: Any = typer.BadParameter.__base__
"""The parser's own complaint; its module is typer's or click's, as Typer's version goes."""

LEAST, LEAST_PER_CORE = 900 * 2**20, 34 * 2**20
"""Bytes of address space without which the libraries that compute end the process while they are loaded, with no word or a riddle."""

LIGHT = {"-h", "--help", "-V", "--version", "help"}
"""What is answered without them."""

LESS = {"generate": "Try a smaller --batch-size, --low-memory, --tiled-decode, --dtype bf16 or a smaller --size."}
LESS_ELSEWHERE = "Try a smaller --batch-size, a smaller --size or half precision."
"""What to type next, by command."""

app = typer.Typer(
    name="ldm",
    cls=DeclaredGroup,
    help="The command line for latent diffusion: train it, run it, take it apart, measure it.",
    epilog=EPILOG,
    no_args_is_help=True,
    **PLAIN,
)


def show_version(value: bool) -> None:
    """Print our version and those that decide the numbers; read from the installed packages' metadata, not by importing them."""
    if not value:
        return
    from importlib.metadata import PackageNotFoundError, version  # as slow to import as all commands together

    lines = [f"ldm {__version__}"]
    for package in ("torch", "diffusers", "transformers"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} not installed")
    typer.echo("\n".join(lines))
    raise typer.Exit


@app.callback()
def root(
    show: Annotated[bool, typer.Option("-V", "--version", callback=show_version, is_eager=True, help="Print versions and exit.")] = False,
) -> None:
    """What stands before the command."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments, debug = without_debug(sys.argv[1:] if argv is None else argv)
    with signals.listen():
        return run_command(arguments, debug=debug)


def run_command(arguments: list[str], *, debug: bool) -> int:
    """Run a command; whatever ends it becomes a sentence and an exit code."""
    less = LESS.get(arguments[0], LESS_ELSEWHERE) if arguments else LESS_ELSEWHERE
    try:
        if not LIGHT & {*arguments}:
            check_folder()
            check_memory()
        code = app(arguments, prog_name="ldm", standalone_mode=False, obj={"debug": debug}) or 0
        return failed("interrupted.", "", code) if code == 130 else code  # how Typer reports Ctrl-C
    except signals.Interrupted as stop:
        return failed("interrupted." if stop.exit_code == 130 else f"stopped by {stop.signal.name}.", "", stop.exit_code)
    except BadCommandLine as error:
        if arguments:
            return failed(error.format_message(), f"Try: {error.ctx.command_path if error.ctx else 'ldm'} --help", 2)
        error.show()  # a bare `ldm` shows the help
        return 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except ToldElsewhere as error:
        return error.exit_code
    except LdmError as error:
        if debug:
            import traceback

            traceback.print_exc()
        return failed(error.message, error.hint, error.exit_code)
    except MemoryError:
        return failed("out of memory.", less, OutOfMemory.exit_code)
    except Exception as error:
        if not debug and says_out_of_memory(error):
            detail = "." if isinstance(error, ImportError) else f": {str(error).strip().splitlines()[0]}"
            return failed(f"out of memory{detail}", less, exit_code_of(error))
        if debug or not isinstance(error, OSError) or error.strerror is None:
            tell_others(repr(error), "", 1)
            raise
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return failed(f"{where}{error.strerror}.", "The system refused that; --debug shows where.", 1)


def check_folder() -> None:
    """Raise NotFound where the working directory has been deleted: torch's libraries would end the process with a riddle."""
    try:
        os.getcwd()
    except OSError as error:
        raise NotFound("the working directory is gone.", hint="Go to a folder that exists: cd") from error


def check_memory() -> None:
    """Raise OutOfMemory where `ulimit -v` leaves too little to load what computes."""
    limit, least = resource.getrlimit(resource.RLIMIT_AS)[0], LEAST + LEAST_PER_CORE * min(os.cpu_count() or 1, 8)
    if 0 <= limit < least:  # -1 is no limit
        said = f"out of memory: ulimit -v allows {limit / 2**20:,.0f} MiB, and {least / 2**20:,.0f} MiB are the least."
        raise OutOfMemory(said, hint="Raise the limit: ulimit -v unlimited")


def failed(message: str, hint: str, exit_code: int) -> int:
    """Say what is wrong, also to other processes that wait for this one. Returns the exit code."""
    from ldmcli.console import output  # not for a help

    output.show_error(message, hint)
    tell_others(message, hint, exit_code)
    return exit_code


def tell_others(message: str, hint: str, exit_code: int) -> None:
    """Where a launcher started several. After a signal there is no time to, and where torch would not fit it is left alone."""
    if os.environ.get("WORLD_SIZE", "1") != "1" and exit_code not in (*EXIT_CODES.values(), OutOfMemory.exit_code):
        from ldmcli.runtime.meeting import tell_failure

        with suppress(NotFound):
            check_folder()
            tell_failure(message, hint, exit_code)


def without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take --debug out; what stands after -- is text and stays."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return kept + arguments[end:], len(kept) < end or bool(os.environ.get("LDM_DEBUG"))
