"""What a value in a stranger's file must be: its type, bounds and size, in small pieces that tables are put together from."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ldmcli.errors import LdmError

Fault = tuple[str, Any, str]
"""Where below the value, as `.key` or `[3]`; what stands there; what is needed."""

SHOWN = 60
"""Characters of a wrong value that a message repeats."""


class Rule:
    """`faults` yields what is wrong with a value, the first thing first."""

    def faults(self, value: Any) -> Iterator[Fault]:
        """Nothing for a value that will do."""
        raise NotImplementedError

    def holds(self, value: Any) -> bool:
        """Whether it will do: the quick answer, for the thousands of words of a vocabulary."""
        return next(self.faults(value), None) is None


@dataclass(frozen=True)
class Anything(Rule):
    """What nobody reads."""

    def faults(self, value: Any) -> Iterator[Fault]:
        """Never."""
        return iter(())


@dataclass(frozen=True)
class Number(Rule):
    """low <= value <= high, never NaN or infinite; above: value > low; whole: an integer. true and false are no numbers."""

    low: float
    high: float
    whole: bool = False
    above: bool = False

    def holds(self, value: Any) -> bool:
        """See the class."""
        right = type(value) is int or (type(value) is float and not self.whole and math.isfinite(value))
        return right and self.low <= value <= self.high and not (self.above and value == self.low)

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not self.holds(value):
            words = f"a {'whole ' * self.whole}number {'above' if self.above else 'from'} {self.low:g}"
            yield "", value, words if self.high == math.inf else f"{words} to {self.high:g}"


@dataclass(frozen=True)
class Text(Rule):
    """At most so many characters."""

    most: int = 1000

    def holds(self, value: Any) -> bool:
        """See the class."""
        return isinstance(value, str) and len(value) <= self.most

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not self.holds(value):
            yield "", value, f"a text of at most {self.most} characters"


@dataclass(frozen=True)
class Flag(Rule):
    """true or false."""

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not isinstance(value, bool):
            yield "", value, "true or false"


@dataclass(frozen=True)
class Nothing(Rule):
    """null."""

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if value is not None:
            yield "", value, "null"


class Either(Rule):
    """One of several rules holds."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def holds(self, value: Any) -> bool:
        """See the class."""
        for rule in self.rules:
            if rule.holds(value):
                return True
        return False

    def faults(self, value: Any) -> Iterator[Fault]:
        """What the rules want, all in one; of a list or an object, what its own rule finds inside."""
        found = [next(rule.faults(value), None) for rule in self.rules]
        if None in found:
            return
        faults = [fault for fault in found if fault is not None]
        inside = next((fault for fault in faults if fault[0]), None)
        yield inside or ("", value, " or ".join(needed for _, _, needed in faults))


@dataclass(frozen=True)
class Listed(Rule):
    """A list of at least `least` and at most `most`, each by a rule."""

    each: Rule
    most: int
    least: int = 0

    def holds(self, value: Any) -> bool:
        """See the class."""
        return isinstance(value, list | tuple) and self.least <= len(value) <= self.most and all(map(self.each.holds, value))

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not isinstance(value, list | tuple) or not self.least <= len(value) <= self.most:
            count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            yield "", value, f"a list of {count} values"
            return
        if all(map(self.each.holds, value)):
            return
        for place, one in enumerate(value):
            for below, wrong, needed in self.each.faults(one):
                yield f"[{place}]{below}", wrong, needed


@dataclass(frozen=True)
class Named(Rule):
    """An object with keys of any name, at most `most`, whose values all follow one rule."""

    values: Rule
    most: int = 10_000
    key: Rule = field(default_factory=Text)

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not isinstance(value, dict) or len(value) > self.most:
            yield "", value, f"an object of at most {self.most} keys"
            return
        if all(map(self.key.holds, value)) and all(map(self.values.holds, value.values())):
            return
        for name, one in value.items():
            for _, wrong, needed in self.key.faults(name):
                yield "", wrong, f"as a key, {needed}"
            for below, wrong, needed in self.values.faults(one):
                yield f".{name:.{SHOWN}}{below}", wrong, needed


@dataclass(frozen=True)
class Record(Rule):
    """An object with known keys, each by its own rule; others are left alone. required: what must be there."""

    keys: Mapping[str, Rule]
    required: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """See the class."""
        there = isinstance(value, dict) and all(name in value for name in self.required)
        return there and all(rule.holds(value[name]) for name, rule in self.keys.items() if name in value)

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not isinstance(value, dict):
            yield "", value, "an object"
            return
        for name in self.required:
            if name not in value:
                yield f".{name}", None, "a value"
        for name, rule in self.keys.items():
            if name in value:
                for below, wrong, needed in rule.faults(value[name]):
                    yield f".{name}{below}", wrong, needed


def whole(low: int, high: int) -> Number:
    """An integer within bounds."""
    return Number(low, high, whole=True)


def optional(rule: Rule) -> Rule:
    """null will do too."""
    return Either(rule, Nothing())


def check(value: Any, rule: Rule, where: str, hint: str = "") -> None:
    """Raise LdmError that names file and key of the first thing that is wrong. where: the file, or what stands for it."""
    for below, wrong, needed in rule.faults(value):
        key = below.removeprefix(".")
        raise LdmError(f"{where}: {f'{key} = {shown(wrong)}' if key else shown(wrong)}; {needed} is needed.", hint=hint)


def shown(value: Any) -> str:
    """What a message says of a value: all of it where it is short."""
    if isinstance(value, list | tuple | dict) and len(value) > 8:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value[:SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}..."
