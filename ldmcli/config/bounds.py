"""Choices and bounds of an option: whether a value is within, and the sentence where it is not."""

from typing import Any

from ldmcli.config.option import Option
from ldmcli.errors import UsageError


def has_limits(each: Option) -> bool:
    """Whether a value of its type can be wrong all the same."""
    bounds = (each.at_least, each.above, each.at_most, each.below, each.multiple_of)
    return bool(each.kind.choices) or (each.kind.scalar is float and not each.kind.pair) or any(bound is not None for bound in bounds)


def check_value(each: Option, value: Any) -> None:
    """Raise UsageError for a value that is no choice or out of bounds. None is always in."""
    if value is None:
        return
    for one in value if each.kind.many and isinstance(value, tuple) else (value,):
        if each.kind.choices and one not in each.kind.choices:
            raise UsageError(f"{each.name} {one}: {listed(each.kind.choices)}.")
        if not _within(each, one):
            short = [flag for flag in each.flags if not flag.startswith("--")]
            number = f"{'/'.join([*short, each.name])} must {_bounds(each)}, got {one}."
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
