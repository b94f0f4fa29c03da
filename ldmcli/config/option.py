"""How an option is declared: once, as a field of a frozen dataclass. Shell, TOML, environment, prompts file and help read it from here.

class SamplingOptions(Options, group="Sampling"):
    steps: int | None = option(None, "--steps", help="Steps of the scheduler.", default_is="the model's", at_least=1)
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ldmcli.config.kinds import Kind, kind_of
from ldmcli.errors import UsageError

GROUPS = (
    "Prompts", "Data", "Sampling", "Schedule and steps", "Network", "Losses", "Optimizer", "Model", "Picture", "Measurement", "Scores",
    "Checkpoints and logs", "Output", "Device", "General",
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


class Options:
    """Base of all groups and commands: frozen dataclasses that know their options. Values are checked on birth."""

    GROUP: ClassVar[str] = ""

    def __init_subclass__(cls, group: str = "") -> None:
        if group:
            cls.GROUP = group

    def __post_init__(self) -> None:
        for each in _limited(type(self)):
            check_value(each, getattr(self, each.field))


_DECLARED: dict[Any, dict[str, Option]] = {}
_LIMITED: dict[Any, tuple[Option, ...]] = {}


def declared(kind: type[Options]) -> Mapping[str, Option]:
    """Field name -> Option of a subclass of Options, with its group, kind and default, in the order in which they were written."""
    if kind in _DECLARED:
        return _DECLARED[kind]
    found: dict[str, Option] = {}
    known: dict[str, dataclasses.Field[Any]] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    for base in reversed(kind.__mro__):
        for name, annotation in vars(base).get("__annotations__", {}).items():
            if isinstance(short := vars(base).get(name), Option):
                found[name] = dataclasses.replace(short, field=name, group=short.group or vars(base).get("GROUP", ""))
            elif name in known and (each := known[name].metadata.get("option")):
                group = each.group or vars(base).get("GROUP") or (found[name].group if name in found else "")
                found[name] = dataclasses.replace(
                    each, field=name, group=group, kind=kind_of(annotation), default=known[name].default
                )  # fmt: skip
            else:
                found.pop(name, None)  # a plain field takes the place of an option
    _DECLARED[kind] = found
    return found


def _limited(kind: type[Options]) -> tuple[Option, ...]:
    """Those whose values can be wrong; the values of a config are checked whenever it is changed, which must be quick."""
    if kind not in _LIMITED:
        known = kind.__dataclass_fields__  # type: ignore[attr-defined]
        _LIMITED[kind] = tuple(each for name, each in declared(kind).items() if name in known and _has_limits(each))
    return _LIMITED[kind]


def _has_limits(each: Option) -> bool:
    bounds = (each.at_least, each.above, each.at_most, each.below, each.multiple_of)
    return bool(each.kind.choices) or (each.kind.scalar is float and not each.kind.pair) or any(bound is not None for bound in bounds)


def find_key(kind: type[Options], key: str) -> Option | None:
    """The option that a key of a file means: its name or an alias, with - or _."""
    wanted = key.replace("-", "_")
    return next((each for each in declared(kind).values() if wanted in each.keys), None)


def check_value(each: Option, value: Any) -> None:
    """Raise UsageError for a value that is no choice or out of bounds. None is always in."""
    if value is None:
        return
    for one in value if each.kind.many and isinstance(value, tuple) else (value,):
        if each.kind.choices and one not in each.kind.choices:
            raise UsageError(f"{each.name} {one}: {listed(each.kind.choices)}.")
        if not _within(each, one):
            number = f"{each.name} must {_bounds(each)}, got {one}."
            raise UsageError(number, hint=each.hint(one) if callable(each.hint) else each.hint)


def listed(words: tuple[Any, ...]) -> str:
    """`a, b or c`."""
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last


def _within(each: Option, value: Any) -> bool:
    """nan is in no bounds at all."""
    if each.kind.scalar is float and not abs(value) < float("inf"):
        return False
    return (
        (each.at_least is None or value >= each.at_least)
        and (each.above is None or value > each.above)
        and (each.at_most is None or value <= each.at_most)
        and (each.below is None or value < each.below)
        and (each.multiple_of is None or value % each.multiple_of == 0)
    )


def _bounds(each: Option) -> str:
    """The sentence after `must`."""
    if each.bounds:
        return f"be {each.bounds}"
    low, high = (each.at_least if each.above is None else each.above), (each.at_most if each.below is None else each.below)
    words = "be a number " if each.kind.scalar is float and (low is None or high is None) else "be "
    if each.multiple_of:
        words += f"a multiple of {each.multiple_of} "
    if low is None and high is None:
        return words.strip()
    if low is not None and high is not None and each.kind.scalar is float:
        return f"{words}in {'[' if each.above is None else '('}{low:g}, {high:g}{']' if each.below is None else ')'}"
    if low is not None and high is not None:
        return f"{words}between {_digits(low)} and {_digits(high)}"
    if low is not None:
        start = "" if each.kind.scalar is int or each.multiple_of else "of "
        return f"{words}{f'{start}at least' if each.above is None else 'above'} {_digits(low)}"
    assert high is not None
    return f"{words}{'at most' if each.below is None else 'below'} {_digits(high)}"


def _digits(number: float) -> str:
    return f"{number:,}" if number >= 10_000 else f"{number}"
