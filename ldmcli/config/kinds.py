"""What type an option has, and how text and the values of TOML and JSON become it."""

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from ldmcli.errors import UsageError

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Kind:
    """scalar: bool, int, float, str or Path. many: a tuple of them. choices: of a Literal."""

    scalar: type
    many: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    pair: bool = False
    """Exactly as many as the type has places."""

    @property
    def words(self) -> str:
        """`a whole number`."""
        return {int: "a whole number", float: "a number", bool: "true or false"}.get(self.scalar, "text")


def kind_of(annotation: Any) -> Kind:
    """Of `int | None`, `Literal["a", "b"]`, `tuple[str, ...]`, ... as fields are annotated."""
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
        optional = True
    if get_origin(annotation) is tuple:
        first, *others = get_args(annotation)
        inner = kind_of(first)
        return Kind(inner.scalar, True, optional, inner.choices, pair=others != [Ellipsis])
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return Kind(type(choices[0]), False, optional, choices)
    return Kind(annotation, False, optional)


def from_text(kind: Kind, text: str, what: str) -> Any:
    """One word of the shell or the environment. what: who says it, such as --steps. Raises UsageError."""
    if kind.many:
        try:
            return tuple(_scalar(kind.scalar, part.strip()) for part in text.split(","))
        except ValueError as error:
            plural = {int: "whole numbers", float: "numbers"}.get(kind.scalar, "values")
            raise UsageError(f"{what} {text}: {plural} with commas between are needed.") from error
    try:
        return _scalar(kind.scalar, text)
    except ValueError as error:
        raise UsageError(f"Invalid value for '{what}': {text!r} is not {kind.words}.") from error


def _scalar(scalar: type, text: str) -> Any:
    """Raises ValueError."""
    if scalar is not bool:
        return scalar(text)
    if text.lower() not in (*TRUE, *FALSE):
        raise ValueError(text)
    return text.lower() in TRUE


def from_data(kind: Kind, value: Any, key: str) -> Any:
    """A value of TOML or JSON: a number may be whole where any will do, a list stands for a tuple. Raises UsageError."""
    if kind.pair and not (isinstance(value, list) and len(value) == 2):
        raise UsageError(f"{key} = {value!r} has the wrong type: two numbers are needed.")
    if kind.many and isinstance(value, list):
        return tuple(from_data(Kind(kind.scalar, choices=kind.choices), each, key) for each in value)
    if kind.many:
        return (from_data(Kind(kind.scalar, choices=kind.choices), value, key),)
    if kind.scalar is Path and isinstance(value, str):
        return Path(value)
    if kind.scalar is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value, key)
    if isinstance(value, kind.scalar) and (kind.scalar is bool or not isinstance(value, bool)):
        return value
    raise UsageError(f"{key} = {value!r} has the wrong type.")


def _float(value: int, key: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise UsageError(f"{key} is too large.") from error


def json_types(kind: Kind) -> tuple[type, ...]:
    """What a value of this kind is in JSON."""
    none = (type(None),) if kind.optional and kind.many else ()
    if kind.many:
        return (list, *none)
    return (int, float) if kind.scalar is float else (str,) if kind.scalar is Path else (kind.scalar,)
