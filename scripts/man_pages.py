"""The man pages of ldm and of each command, from the declarations of the options: man/*.1, which the wheel installs in share/man/man1.

python scripts/man_pages.py            write them
python scripts/man_pages.py --check    fail where one is stale
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from ldmcli import __version__
from ldmcli.commands.app import EPILOG, SUMMARIES, load_command
from ldmcli.commands.help import grouped, help_row

FOLDER = Path(__file__).parents[1] / "man"

ENVIRONMENT = {
    "LDM_<OPTION>": "The value of an option, such as LDM_STEPS=20. The command line wins, and the file of --config does not.",
    "NO_COLOR": "No colours.",
    "HF_HOME": "Where models from the hub are kept.",
}


def pages() -> dict[str, str]:
    """File name -> its text in the macros of man(7)."""
    return {"ldm.1": "\n".join(main_page()) + "\n"} | {f"ldm-{name}.1": "\n".join(command_page(name)) + "\n" for name in SUMMARIES}


def main_page() -> Iterator[str]:
    """The commands, the environment and the exit codes."""
    yield from head("ldm", "train latent diffusion models, run them, take them apart and measure them")
    yield from (".B ldm\n.I COMMAND\n[\\fIOPTIONS\\fR]", ".SH COMMANDS")
    for name, summary in SUMMARIES.items():
        yield from term(f"ldm-{name}(1)", summary)
    yield ".SH ENVIRONMENT"
    for name, text in ENVIRONMENT.items():
        yield from term(name, text)
    yield ".SH EXIT STATUS\n" + line(EPILOG.partition(": ")[2])
    yield from examples('ldm generate "a dog"', "ldm help first-picture")
    yield from see_also(f"ldm-{name}" for name in SUMMARIES)


def command_page(name: str) -> Iterator[str]:
    """What the command does, and its options in groups."""
    function = load_command(name)
    arguments = [f"[\\fI{escaped(each.metavar)}\\fR]" for each in function.options if each.argument]
    yield from head(f"ldm-{name}", SUMMARIES[name].rstrip("."))
    yield "\n".join([f".B ldm {escaped(name)}", *arguments, "[\\fIOPTIONS\\fR]", ".SH DESCRIPTION"])
    yield "\n.PP\n".join(line(" ".join(part.split())) for part in function.__doc__.split("\n\n"))
    yield ".SH OPTIONS"
    for group, members in grouped(function.options):
        yield f".SS {escaped(group)}"
        for each in members:
            yield from term(*help_row(each))
    yield from examples(*function.examples)
    yield from see_also(["ldm"])


def head(name: str, purpose: str) -> Iterator[str]:
    """Up to the synopsis."""
    yield '.\\" Written by scripts/man_pages.py from the declarations of the options.'
    yield f'.TH {escaped(name.upper())} 1 "" "ldm {__version__}" "User Commands"\n.nh'
    yield f".SH NAME\n{escaped(name)} \\- {escaped(purpose)}\n.SH SYNOPSIS"


def term(name: str, text: str) -> Iterator[str]:
    """An entry of a list."""
    yield f'.TP\n.B "{escaped(name).replace(chr(34), chr(92) + "(dq")}"\n{line(text)}'


def examples(*texts: str) -> Iterator[str]:
    """What to type, as it is typed."""
    yield "\n".join([".SH EXAMPLES", ".EX", *map(line, texts), ".EE"])


def see_also(names: Iterator[str] | list[str]) -> Iterator[str]:
    """The other pages."""
    yield ".SH SEE ALSO\n" + " ,\n".join(f".BR {escaped(name)} (1)" for name in names).replace("(1) ,", "(1),")
    yield ".PP\n.B ldm help\nshows the guide."


def line(text: str) -> str:
    """Text that does not look like a request."""
    return ("\\&" if text[:1] in ".'" else "") + escaped(text)


def escaped(text: str) -> str:
    """Backslashes, hyphens that are typed, and quotes as they are."""
    return (
        text.replace("\\", "\\e")
        .replace("-", "\\-")
        .replace("'", "\\(aq")
        .replace("`", "\\(ga")
        .replace("^", "\\(ha")
        .replace("~", "\\(ti")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    made = pages()
    if not parser.parse_args().check:
        FOLDER.mkdir(exist_ok=True)
        for name, text in made.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    stale = [name for name, text in made.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text]
    stale += [path.name for path in FOLDER.glob("*.1") if path.name not in made]
    for name in stale:
        print(f"man/{name} is stale: python scripts/man_pages.py", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
