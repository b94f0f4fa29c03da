"""Processes that share out the pieces of one job, started by torchrun, `accelerate launch` or srun. Usually there is one.

They never wait for each other in the middle of it: a counter in the launcher's key-value store hands out the pieces, and process 0 hears
through the same store what came of them. Training is another matter, where every step needs all: see processes.py.
"""

import pickle
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ldmcli.errors import PeerLost, ToldElsewhere
from ldmcli.runtime.ending import end_at_once

BEAT_S = 1.0
"""Between two signs of life of a process."""
LOST_S = 60.0
"""Without a sign of life a process counts as ended. A thread gives the signs, also while a large model is read from a slow disk."""
POLL_S = 0.05
"""Between two looks at what others have said."""
PIECE_BYTES = 1 << 20
"""Of a value in the store, which takes no more than 8 MiB."""

AGAIN = "Start it again; generate goes on with --resume."

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why a process ends before the others."""

    message: str


class Team:
    """Number `index` of `count` processes. store: of torch.distributed; None where there is one process. restarted: whether torchrun has
    started some of them anew."""

    def __init__(self, index: int = 0, count: int = 1, store: Any = None, *, restarted: bool = False) -> None:
        self.index, self.count, self.store, self.restarted = index, count, store, restarted
        self.away: dict[int, str] = {}
        """Of process 0: who will say nothing more, and why."""
        self.lost: set[int] = set()
        """Of these, who showed no sign of life: nobody waits for them."""
        self.through: dict[str, set[int]] = defaultdict(set)
        """Of process 0: by name of the pieces, who takes no more of them."""
        self.results: dict[str, dict[int, Any]] = defaultdict(dict)
        self._heard, self._awaited = 0, set[int]()
        self._beats: dict[int, tuple[bytes, float]] = {}

    @property
    def main(self) -> bool:
        """Whether this is the one that speaks."""
        return self.index == 0

    def agree(self, name: str, value: T) -> T:
        """What process 0 has, in all; the value of the others counts for nothing. Raises ToldElsewhere when process 0 fails before."""
        if self.store is None:
            return value
        with self._reaching():
            if self.main:
                self._set(f"agreed/{name}", value)
                return value
            while not self.store.check([f"agreed/{name}"]):
                self.look_at_the_first()
                time.sleep(POLL_S)
            return self._get(f"agreed/{name}")  # type: ignore[no-any-return]

    def pieces(self, name: str, count: int) -> Iterator[int]:
        """Numbers from 0 to count - 1, in this order, each to one process, when it asks for the next."""
        if self.store is None:
            yield from range(count)
            return
        while True:
            with self._reaching():
                self.look_at_the_first()
                number = self.store.add(f"taken/{name}", 1) - 1
            if number >= count:
                self.send(name, None)
                return
            yield number

    def send(self, name: str, value: tuple[int, Any] | Failure | None) -> None:
        """To process 0: what came of a piece; None: this process takes no more pieces of that name."""
        if self.main:
            self._note(self.index, name, value)
            return
        with self._reaching():
            number = self.store.add("sent", 1) - 1
            self._set(f"sent/{number}", (self.index, name, value))

    def receive(self) -> None:
        """Of process 0: note what the others have sent by now."""
        if self.store is None or not self.main:
            return
        with self._reaching():
            sent = self.store.add("sent", 0)
            self._awaited |= set(range(self._heard, sent))  # one may be on its way while a later one is there
            self._heard = sent
            for number in sorted(self._awaited):
                if self.store.check([f"sent/{number}"]):
                    self._note(*self._get(f"sent/{number}", delete=True))
                    self._awaited.discard(number)

    def working(self, name: str) -> bool:
        """Whether another process may still have pieces of this name, by what it sent and by its signs of life."""
        return any(not self._gone(other) for other in range(1, self.count) if other not in self.through[name] and other not in self.away)

    def _note(self, sender: int, name: str, value: tuple[int, Any] | Failure | None) -> None:
        if isinstance(value, Failure):
            self.away[sender] = value.message
        elif value is None:
            self.through[name].add(sender)
        else:
            self.results[name][value[0]] = value[1]

    def _gone(self, other: int) -> bool:
        """No sign of life for LOST_S."""
        with self._reaching():
            key, now = f"beat/{other}", time.monotonic()
            beat = self.store.get(key) if self.store.check([key]) else b""
        before, since = self._beats.setdefault(other, (beat, now))
        if beat != before:
            self._beats[other] = beat, now
        elif now - since > LOST_S:
            self.lost.add(other)
            self.away.setdefault(other, "it has ended, or answers no more")
        return other in self.away

    def look_at_the_first(self) -> None:
        """Raises ToldElsewhere when process 0 has ended, PeerLost when it shows no sign of life or the store is gone."""
        if self.main:
            return
        with self._reaching():
            if self.store.check(["over"]):
                raise ToldElsewhere(self._get("over"))
            if self._gone(0):
                raise PeerLost("process 0 answers no more", hint=AGAIN)

    def end(self, code: int, seconds: float) -> None:
        """Of process 0, which may hold the store: tell the others how it went, and wait until they have heard it, so long at most."""
        with suppress(RuntimeError):
            self._set("over", code)
            last = time.monotonic() + seconds
            while self.store.add("gone", 0) < self.count - 1 - len(self.lost) and time.monotonic() < last:
                time.sleep(POLL_S)

    def part(self) -> None:
        """Of the others: they have heard it."""
        with suppress(RuntimeError):
            self.store.add("gone", 1)

    def _set(self, key: str, value: Any) -> None:
        body = pickle.dumps(value)
        parts = [body[first : first + PIECE_BYTES] for first in range(0, len(body), PIECE_BYTES)]
        for number, part in enumerate(parts):
            self.store.set(f"{key}/{number}", part)
        self.store.set(key, str(len(parts)))

    def _get(self, key: str, *, delete: bool = False) -> Any:
        """A value that is there."""
        keys = [f"{key}/{number}" for number in range(int(self.store.get(key)))]
        value = pickle.loads(b"".join(self.store.get(part) for part in keys))
        for part in [key, *keys] if delete else ():
            self.store.delete_key(part)
        return value

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """PeerLost instead of the RuntimeError of a store that is gone."""
        try:
            yield
        except RuntimeError as error:
            raise PeerLost(str(error).splitlines()[0], hint=AGAIN) from error

    @contextmanager
    def showing_life(self) -> Iterator[None]:
        """Tell the others now and then, from a thread, that this process is there. One that could not say so for 2 x LOST_S has been
        given up by them, and ends: the store may never answer again."""
        over, key, heard = threading.Event(), f"beat/{self.index}", time.monotonic()

        def show() -> None:
            nonlocal heard
            number = 0
            with suppress(RuntimeError):
                while not over.wait(BEAT_S if number else 0):
                    number += 1
                    self.store.set(key, str(number))
                    heard = time.monotonic()

        def watch() -> None:
            while not over.wait(BEAT_S):
                if time.monotonic() - heard > 2 * LOST_S:
                    end_at_once("the other processes of this job cannot be reached.", AGAIN)

        threads = [threading.Thread(target=work, name="signs of life", daemon=True) for work in (show, watch)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(BEAT_S)
