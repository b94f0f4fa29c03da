"""Values of options as they come: words of the shell and the environment, values of TOML and JSON. One reading for every source."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ldmcli.config.kinds import from_data, from_text
from ldmcli.config.option import Option
from ldmcli.config.options import Options, declared, find_key
from ldmcli.errors import UsageError


def read_text(each: Option, text: str, what: str) -> Any:
    """One word. what: who says it: --steps, LDM_STEPS, ... Raises UsageError."""
    if each.parse is not None:
        return _converted(each, each.parse(text))
    kind = replace(each.kind, many=False) if each.repeat else each.kind
    return _converted(each, from_text(kind, text, what))


def read_data(each: Option, value: Any, key: str) -> Any:
    """A value of TOML or JSON. Raises UsageError."""
    if isinstance(value, str) and (each.parse is not None or (each.kind.many and not each.repeat)):
        return read_text(each, value, key)
    return _converted(each, from_data(each.kind, value, key))


def read_flags(kinds: tuple[type[Options], ...], typed: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed: field name -> value. typed: field name -> True, False, a word or several, None where nothing was."""
    found: dict[str, Any] = {}
    for kind in kinds:
        for name, each in declared(kind).items():
            value = typed.get(name)
            if value is None or value == []:
                continue
            if isinstance(value, bool):
                found[name] = _converted(each, value)
            elif each.repeat:
                found[name] = tuple(read_text(each, word, each.name) for word in value)
            else:
                found[name] = read_text(each, value, each.name)
    return found


def read_environment(kinds: tuple[type[Options], ...]) -> dict[str, Any]:
    """What LDM_<OPTION> variables say. Several values of a repeatable option stand one a line. An empty variable says nothing."""
    found: dict[str, Any] = {}
    for kind in kinds:
        for name, each in declared(kind).items():
            variable = f"LDM_{each.key.upper()}"
            text = os.environ.get(variable) if each.flags else None
            if text and each.repeat:
                found[name] = tuple(read_text(each, line, variable) for line in text.splitlines())
            elif text:
                found[name] = read_text(each, text, variable)
    return found


def read_keys(kinds: tuple[type[Options], ...], body: Mapping[str, Any], file: str, command: str) -> dict[str, Any]:
    """What a TOML file says. file: its name as it was given. Raises UsageError."""
    found: dict[str, Any] = {}
    for key, value in body.items():
        each = next((option for kind in kinds if (option := find_key(kind, key))), None)
        if each is None or each.field == "config":
            raise UsageError(f"{file}: {key!r} is not an option of {command}.")
        if each.field in found:
            raise UsageError(f"{file}: {each.name} is named twice, once as {key}.")
        try:
            found[each.field] = read_data(each, value, key)
        except UsageError as error:
            raise UsageError(f"{file}: {error.message}", hint=error.hint) from error
    return found


def fields_of(kind: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one kind that values of one source set; what a shorthand stands for gives way to the option itself."""
    own = {name: each for name, each in declared(kind).items() if name in values}
    fields: dict[str, Any] = {}
    for name, each in own.items():
        if each.stands_for is not None:
            fields |= each.stands_for(values[name])
    return fields | {name: values[name] for name, each in own.items() if each.stands_for is None}


def _converted(each: Option, value: Any) -> Any:
    if each.convert is None:
        return value
    return tuple(map(each.convert, value)) if isinstance(value, tuple) and each.kind.many else each.convert(value)
