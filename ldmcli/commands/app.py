"""How Typer is made to start fast: a command is imported when it is the one that runs, and help is plain text.

Typer would import Rich for the help, and its validator for words that nobody typed; either takes as long as our whole start.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ldmcli.commands.help import help_lines

SUMMARIES = {
    "generate": "Draw each PROMPT and print the paths of the pictures.",
    "compare-schedulers": "Draw each PROMPT from the same noise by every scheduler.",
    "train-vae": "Train an autoencoder on captioned pictures.",
    "train-unet": "Train a text-conditional U-Net in the latent space of a frozen VAE.",
    "clipscore": "Score pictures against their captions with a CLIP.",
    "bench": "Draw the same pictures again and again, and report time, memory and exactness.",
    "help": "Show a page of the guide, an option, or the part that answers a question.",
}
"""What `ldm --help` says of each, without importing any."""

MODULES = {"help": "guide"}
"""Of ldmcli.commands, where it is not named as the command is."""

EPILOG = (
    "Exit codes: 0 ok, 1 failed while running, 2 bad usage or value, 3 batch finished in part, 4 NaN or infinity stopped it, "
    "5 out of memory, 6 model or file missing, 130 Ctrl-C, 143 SIGTERM."
)

PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),  # names of options and commands, never values
    },
}


def load_command(name: str) -> Any:
    """The function of a command, with its `options`: that of the same name as its module of ldmcli.commands."""
    module = MODULES.get(name, name.replace("-", "_"))
    return getattr(import_module(f"ldmcli.commands.{module}"), module)


class Commands(Mapping[str, Any]):
    """Name -> Typer's command, built when it is asked for."""

    def __init__(self) -> None:
        self.built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in SUMMARIES:
            raise KeyError(name)
        if name not in self.built:
            alone = typer.Typer(add_completion=False, **PLAIN)
            function = load_command(name)
            facts = {**PLAIN["context_settings"], "ignore_unknown_options": function.takes_any_flag}
            alone.command(name, epilog=EPILOG, short_help=SUMMARIES[name], cls=DeclaredCommand, context_settings=facts)(function)
            self.built[name] = typer.main.get_command(alone)
        return self.built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


class DeclaredCommand(TyperCommand):
    """Values stay the words that were typed; config/reading.py reads them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without the validator."""
        own = {parameter.name for parameter in self.params}
        for parameter in self.get_params(ctx):
            parameter.process_value = _unread if parameter.name in own else _if_typed(parameter.process_value)  # type: ignore
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """The first paragraph, and what to type."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for line in self.callback.examples:  # type: ignore[union-attr]
                formatter.write(f"  {line}\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Group by group."""
        formatter.write("\n".join(help_lines(self.callback.options, formatter.width)))  # type: ignore[union-attr]


class DeclaredGroup(TyperGroup):
    """The app."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self.commands = Commands()  # type: ignore[assignment]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without the validator."""
        for parameter in self.get_params(ctx):
            parameter.process_value = _if_typed(parameter.process_value)  # type: ignore
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the help."""
        return list(SUMMARIES)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """From the summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


def _unread(context: Any, value: Any) -> Any:
    return value


def _if_typed(process: Callable[..., Any]) -> Callable[..., Any]:
    return lambda ctx, value: None if value is None else process(ctx, value)
