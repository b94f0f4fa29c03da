"""Groups of options and how they compose: a command is a dataclass that inherits the groups it has."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ldmcli.config.bounds import check_value, has_limits
from ldmcli.config.kinds import kind_of
from ldmcli.config.option import Option


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
        _LIMITED[kind] = tuple(each for name, each in declared(kind).items() if name in known and has_limits(each))
    return _LIMITED[kind]


def find_key(kind: type[Options], key: str) -> Option | None:
    """The option that a key of a file means: its name or an alias, with - or _."""
    name = key.replace("-", "_")
    return next((each for each in declared(kind).values() if name in each.keys), None)
