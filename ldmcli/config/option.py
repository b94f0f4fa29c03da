"""How an option is declared: once, as a field of a frozen dataclass. Shell, TOML, environment, prompts file and help read it from here.

class SamplingOptions(Options, group="Sampling"):
    steps: int | None = option(None, "--steps", help="Steps of the scheduler.", default_is="the model's", at_least=1)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ldmcli.config.kinds import Kind

GROUPS = (
    "Prompts", "Start", "Data", "Sampling", "Schedule and steps", "Network", "Losses", "Optimizer", "Model", "Picture", "Measurement",
    "Scores", "Checkpoints and logs", "Output", "Device", "General",
)  # fmt: skip
"""In the order in which help shows them."""


ALWAYS = object()
"""Every picture states it."""


@dataclass(frozen=True)
class Conflict:
    """What an option that was typed cannot stand beside. when: asked of an object with every option of the command."""

    when: Callable[[Any], bool]
    message: str
    hint: str = "Leave out one of the two."
    of_each: bool = False
    """Asked of the settings of every prompt and not of the command line, since a prompts file may add what that lacks."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """Everything there is to know of an option, apart from what it does."""

    flags: tuple[str, ...]
    """The first long one is its name; the others are aliases. A flag with an opposite is `--grid/--no-grid`. None: a key of files alone."""
    help: str
    group: str = ""
    """The class says it, unless this does."""
    metavar: str = ""
    default_is: str = ""
    """What no value means, where the default does not say it: `the model's`."""
    argument: bool = False
    """Not a flag: the words of the command line."""
    repeat: bool = False
    """May be typed several times; otherwise several values stand with commas between."""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    multiple_of: int | None = None
    bounds: str = ""
    """How the bounds are told, where that is not `at least 1`."""
    hint: str | Callable[[Any], str] = ""
    """What to do about a value out of bounds."""
    parse: Callable[[str], Any] | None = None
    """Text to value, for what is more than a number or a word. Raises UsageError."""
    convert: Callable[[Any], Any] | None = None
    """Applied to what was read: other spellings of the same, or a check of its own. Raises UsageError."""
    stands_for: Callable[[Any], dict[str, Any]] | None = None
    """The fields that it sets, where that is not the one it is declared as."""
    suggest: tuple[str, ...] | str = ()
    """What the shell completes besides the choices of the type; a word names a list that the commands know."""
    conflicts: tuple[Conflict, ...] = ()
    per_prompt: bool = False
    """A line of a prompts file may say it."""
    sweep: bool = False
    recorded: bool = False
    """A picture states it, and is drawn again with it."""
    before: Any = ALWAYS
    """What drew the pictures of versions that did not state it."""
    how: bool = False
    """Where and how to compute, never what is drawn: may stand beside --verify."""
    own: str = ""
    """Of the model, when nobody says anything: the key of its defaults."""
    field: str = ""
    kind: Kind = Kind(str)
    default: Any = None

    @property
    def name(self) -> str:
        """As it is typed: `--cfg`, or PROMPT... of an argument."""
        if self.argument:
            return self.metavar
        long = [flag for flag in self.flags if flag.startswith("--")]
        return (long or [f"--{self.field.replace('_', '-')}"])[0].partition("/")[0]

    @property
    def key(self) -> str:
        """In files and in the environment: `batch_size`."""
        return self.name.lstrip("-").replace("-", "_") if self.flags else self.field

    @property
    def keys(self) -> frozenset[str]:
        """Its own and those of its aliases."""
        long = {flag.partition("/")[0].lstrip("-").replace("-", "_") for flag in self.flags if flag.startswith("--")}
        return frozenset({self.key, self.field, *long})


def option(default: Any, *flags: str, **facts: Any) -> Any:
    """A field of a dataclass that is an option; facts: see Option. A default of MISSING must be given."""
    return field(default=default, metadata={"option": Option(flags=flags, **facts)})


def shorthand(*flags: str, **facts: Any) -> Any:
    """A ClassVar that is an option and no field: it `stands_for` other fields, which win when they are given themselves."""
    return Option(flags=flags, **facts)
