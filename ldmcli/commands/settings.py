"""What a command was asked: every option with where it came from. Flags win over LDM_ variables, these over --config."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from ldmcli.commands.remote_output import RemoteOutput
from ldmcli.commands.resume import over, read_record, read_stated
from ldmcli.config.options import Options, declared
from ldmcli.config.reading import fields_of, read_environment, read_flags
from ldmcli.errors import UsageError
from ldmcli.models.layout import ldm_settings

O = TypeVar("O", bound=Options)  # noqa: E741  # of Options

SOURCES = ("record", "file", "environment", "flag")
"""The last one wins. record: of a training run that goes on."""


class Invocation:
    """One command line. kinds: the groups whose options it has."""

    def __init__(self, command: str, kinds: tuple[type[Options], ...], typed: Mapping[str, Any]) -> None:
        self.command, self.kinds = command, kinds
        self.model_said: set[str] = set()
        flags = read_flags(kinds, typed)
        environment = read_environment(kinds)
        file = read_stated(kinds, {**environment, **flags}, command)
        self.remote = RemoteOutput(command, over(file, {**environment, **flags}))
        for said in (file, environment, flags):
            if self.remote.folder is not None and "output" in said:
                said["output"] = self.remote.output
        record = read_record(kinds, over(file, {**environment, **flags}), command)
        self.values = {"record": record, "file": file, "environment": environment, "flag": flags}

    @property
    def typed(self) -> dict[str, Any]:
        """What stands on the command line itself, by option."""
        return self.values["flag"]

    def given(self, kind: type[Options], *sources: str) -> dict[str, Any]:
        """The fields of a kind that somebody set. sources: only what these say."""
        merged: dict[str, Any] = {}
        for source in sources or SOURCES:
            merged = over(merged, fields_of(kind, self.values[source]))
        return merged

    def options(self, kind: type[O], **given: Any) -> O:
        """The group itself, checked. given: fields that are no options, or that win over all. Raises UsageError."""
        return kind(**{**self.given(kind), **given})

    def refuse_conflicts(self, *groups: Options, swept: Mapping[str, Any] | None = None) -> None:
        """Raise UsageError for an option that was typed beside what leaves it nothing to do. swept: fields that have no one value."""
        whole = {name: getattr(group, name) for group in groups for name in declared(type(group)) if name in vars(group)}
        everything = SimpleNamespace(**{**whole, **(swept or {})})
        for group in groups:
            for name, each in declared(type(group)).items():
                if name not in self.typed or not self.typed[name]:
                    continue
                for conflict in each.conflicts:
                    if not conflict.of_each and conflict.when(everything):
                        raise UsageError(conflict.message, hint=conflict.hint)

    def note_model(self, path: Path) -> None:
        """What nobody set comes from this model, where it says so."""
        self.model_said = {"size", "spacing", "prediction", *ldm_settings(path).get("defaults", {})}

    def settings_from(self) -> dict[str, str]:
        """Where each option's value came from: flag, environment, file, model or default."""
        found = {}
        for kind in self.kinds:
            for name, each in declared(kind).items():
                said = [source for source in SOURCES if name in self.values[source]]
                found[each.key] = said[-1] if said else "model" if each.own in self.model_said and each.own else "default"
        return found
