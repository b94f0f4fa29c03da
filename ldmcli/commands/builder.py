"""A Typer command from the declarations of its options: signature, help in groups, completion. What the values mean is not known here."""

import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer

from ldmcli.commands.guide_pages import pages
from ldmcli.commands.help import metavar
from ldmcli.commands.settings import Invocation
from ldmcli.config.option import Option
from ldmcli.config.options import Options, declared
from ldmcli.console import output
from ldmcli.diffusion import catalogue
from ldmcli.errors import UsageError

Command = Callable[[Invocation], None]

SUGGESTIONS: dict[str, Callable[[], tuple[str, ...]]] = {
    "schedulers": lambda: tuple(row.name for row in catalogue.SCHEDULERS),
    "topics": lambda: tuple(pages()),
}
"""The lists that declarations call by a word."""


def command(
    name: str, *kinds: type[Options], examples: tuple[str, str], takes_any_flag: bool = False
) -> Callable[[Command], Callable[..., None]]:
    """Make a function that takes an Asked into one that Typer reads. kinds: the groups of its options; examples: what to type.

    takes_any_flag: a flag that it does not know is one more argument.
    """
    options = [each for kind in kinds for each in declared(kind).values() if each.flags or each.argument]

    def decorate(function: Command) -> Callable[..., None]:
        def run(context: typer.Context, **typed: Any) -> None:
            try:
                invocation = Invocation(name, kinds, typed)
            except UsageError as error:
                raise UsageError(error.message, hint=error.hint or f"Try: {context.command_path} --help") from error
            if any(invocation.given(kind).get("offline") for kind in kinds):
                os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub's own switch, which every library in this process obeys
            with _sources(invocation, context):
                function(invocation)

        own = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        run.__signature__ = inspect.Signature([*own, *map(_parameter, options)])  # type: ignore[attr-defined]  # what Typer reads
        run.__annotations__ = {each.name: each.annotation for each in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
        run.__doc__, run.__module__, run.__name__ = function.__doc__, function.__module__, name
        run.kinds, run.options, run.examples = kinds, options, examples  # type: ignore[attr-defined]
        run.takes_any_flag = takes_any_flag  # type: ignore[attr-defined]
        return run

    return decorate


def _sources(invocation: Invocation, context: typer.Context) -> AbstractContextManager[None]:
    """With --debug the JSON document says where the settings came from."""
    debug = isinstance(context.obj, dict) and context.obj.get("debug")
    return output.naming_sources(invocation.settings_from if debug else None)


def _parameter(each: Option) -> inspect.Parameter:
    """What Typer has to know: names, and whether words follow. Reading the words is left to config/reading.py."""
    annotation: Any = list[str] | None if each.repeat else bool | None if each.kind.scalar is bool else str | None
    words: dict[str, Any] = {}
    if each.repeat or each.kind.scalar is not bool:
        words = {"metavar": metavar(each), "autocompletion": completer(each)}
    what: Any = typer.Argument(**words) if each.argument else typer.Option(*each.flags, **words)
    return inspect.Parameter(each.field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, what])


def completer(each: Option) -> Callable[[str], list[str]] | None:
    """What the shell offers for the value; after a comma, for the next one."""
    if not (each.kind.choices or each.suggest):
        return None

    def complete(incomplete: str) -> list[str]:
        words = SUGGESTIONS[each.suggest]() if isinstance(each.suggest, str) else each.suggest or each.kind.choices
        before, comma, last = incomplete.rpartition(",") if each.kind.many else ("", "", incomplete)
        return [f"{before}{comma}{word}" for word in words if word.startswith(last)]

    return complete
