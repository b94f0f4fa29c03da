"""What a command was asked to draw: prompts, each with its settings. Imports no torch."""

import copy
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ldmcli.config.generation import GenerateConfig
from ldmcli.runtime.long_lists import MadeWhenAsked, StoredTexts


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt as it was asked for. config: its settings; seed: its own first seed, if it has one; line: of a prompts file."""

    prompt: str
    config: GenerateConfig
    seed: int | None = None
    line: int | None = None


class RequestList(MadeWhenAsked[Request]):
    """Requests in a few bytes each, so that a prompts file may have a million lines: settings are shared, prompts are on the disk."""

    def __init__(self, requests: Iterable[Request] = ()) -> None:
        self.configs: list[GenerateConfig] = []
        """Every one that a request has, in the order in which they first appear."""
        self.prompts = StoredTexts()
        self.config_numbers = array("I")
        """Of each request: the place of its settings among those."""
        self._places: dict[int, int] = {}
        self._lines = array("I")  # 0 where there is none
        self._seeds: array[int] | None = None  # there as soon as one has its own
        self._with_seed = bytearray()
        for request in requests:
            self.append(request)

    @classmethod
    def of(cls, requests: Iterable[Request]) -> "RequestList":
        """Itself, or made from any others."""
        return requests if isinstance(requests, cls) else cls(requests)

    def __len__(self) -> int:
        return len(self.config_numbers)

    def append(self, request: Request) -> None:
        """Raises LdmError where the disk takes no more."""
        if request.seed is not None and self._seeds is None:
            self._seeds, self._with_seed = array("Q", [0]) * len(self), bytearray(len(self))
        if self._seeds is not None:
            self._seeds.append(request.seed or 0)
            self._with_seed.append(request.seed is not None)
        place = self._places.setdefault(id(request.config), len(self.configs))
        if place == len(self.configs):
            self.configs.append(request.config)
        self.config_numbers.append(place)
        self._lines.append(request.line or 0)
        self.prompts.append(request.prompt)

    def item(self, number: int) -> Request:
        """Raises LdmError for a disk that does not read."""
        config = self.configs[self.config_numbers[number]]
        return Request(self.prompts[number], config, self.seed(number), self._lines[number] or None)

    def seed(self, number: int) -> int | None:
        """Its own, without looking at its prompt."""
        return self._seeds[number] if self._seeds is not None and self._with_seed[number] else None

    @property
    def pictures(self) -> int:
        """How many they ask for together."""
        return sum(count * self.configs[place].pictures for place, count in Counter(self.config_numbers).items())

    @property
    def name_their_seeds(self) -> bool:
        """All of them."""
        return self._seeds is not None and all(self._with_seed)

    def with_settings(self, change: Callable[[GenerateConfig], GenerateConfig]) -> "RequestList":
        """The same prompts with other settings; neither list grows after that."""
        other = copy.copy(self)
        other.configs = [change(config) for config in self.configs]
        return other
