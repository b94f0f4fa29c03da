"""A command as the processes of a team run it: process 0 speaks, the others work, and all end together."""

import functools
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import torch

from ldmcli.errors import LdmError, PeerLost, Stopped, ToldElsewhere, UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.exit_codes import exit_code_of
from ldmcli.runtime.launcher import local_index, process_count, process_index, restarted
from ldmcli.runtime.meeting import meet
from ldmcli.runtime.team import POLL_S, Failure, Team

PARTING_S = 5.0
"""How long process 0 waits at the end until all have heard how it went."""

P = ParamSpec("P")
T = TypeVar("T")


def run_as_team(run: Callable[Concatenate[Team, P], Iterator[Event]]) -> Callable[P, Iterator[Event]]:
    """`run` without its first argument: the processes that a launcher started find each other, and the first one speaks for all."""

    @functools.wraps(run)
    def together(*arguments: P.args, **options: P.kwargs) -> Iterator[Event]:
        if process_count() == 1:
            yield from run(Team(restarted=restarted()), *arguments, **options)
            return
        if process_index() == 0:
            yield Note(f"waiting for {process_count()} processes (WORLD_SIZE)")
        store, anew = meet()
        team = Team(process_index(), process_count(), store, restarted=anew)
        with team.showing_life():
            events = run(team, *arguments, **options)
            if team.main:
                yield Note(f"{team.count} processes share the work")
                yield from _lead(team, events)
            else:
                _follow(team, events)

    return together  # type: ignore[return-value]  # it keeps what functools.wraps hides


def own_device(name: str) -> str:
    """--device for this process: of several GPUs one of its own. Raises UsageError where one is named for all."""
    if process_count() == 1:
        return name
    if ":" in name:
        raise UsageError(f"--device {name} with several processes.", hint="Use --device cuda: each process takes a GPU of its own.")
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{local_index() % torch.cuda.device_count()}"
    return name


def share_out(
    team: Team, name: str, count: int, work: Callable[[int], Generator[Event, None, T]]
) -> Generator[Event, None, list[T] | None]:
    """Every piece once, by whichever process asks first. Returns the results in order in process 0, None in the others.

    The error of a piece is raised, as an LdmError, in process 0, once all are done. What a process that has ended leaves undone, process 0
    does itself.
    """

    def attempt(number: int) -> Generator[Event, None, T | LdmError]:
        try:
            return (yield from work(number))
        except (LdmError, RuntimeError, MemoryError) as error:  # torch's out-of-memory error is a RuntimeError
            if team.count == 1:
                raise
            return in_a_sentence(error)

    for number in team.pieces(name, count):
        result = yield from attempt(number)
        team.send(name, (number, result))
        team.receive()
    if not team.main:
        return None
    while team.working(name):
        time.sleep(POLL_S)
        team.receive()
    team.receive()
    found = team.results.pop(name, {})
    for number in sorted(set(range(count)) - found.keys()):
        found[number] = yield from attempt(number)
    ordered = [found[number] for number in range(count)]  # not as they arrived: which error is raised is no chance
    for error in ordered:
        if isinstance(error, LdmError):
            raise error
    return ordered


def in_a_sentence(error: Exception) -> LdmError:
    """The same as an LdmError."""
    return error if isinstance(error, LdmError) else LdmError(str(error).splitlines()[0] if str(error) else repr(error))


def _lead(team: Team, events: Iterator[Event]) -> Iterator[Event]:
    """The events of process 0, and which others failed; these learn how it ended, and after a signal have to hurry."""
    code, patience = 0, PARTING_S
    try:
        yield from events
        yield from _who_failed(team)
    except BaseException as error:
        code, patience = exit_code_of(error), PARTING_S if isinstance(error, LdmError) and not isinstance(error, Stopped) else POLL_S
        if patience == PARTING_S:
            yield from _who_failed(team)
        raise
    finally:
        team.end(code, patience)


def _who_failed(team: Team) -> Iterator[Note]:
    """A warning for each process that has ended early: its part was done by others, or is what is missing."""
    with suppress(PeerLost):  # the store is gone; what was heard before counts
        team.receive()
    for number, text in sorted(team.away.items()):
        yield Note(f"process {number}: {text}", warning=True)


def _follow(team: Team, events: Iterator[Event]) -> None:
    """Go through the events of another process, which says nothing. It ends after process 0. Raises ToldElsewhere unless all went well."""
    code = 0
    try:
        for _ in events:
            pass
    except ToldElsewhere:
        team.part()
        raise
    except PeerLost as error:
        raise ToldElsewhere(error.exit_code) from error
    except LdmError as error:
        code = error.exit_code
        with suppress(PeerLost):
            team.send("", Failure(error.message))
        if isinstance(error, Stopped):  # there is no time to wait
            raise ToldElsewhere(code) from error
    except Exception as error:
        with suppress(PeerLost):
            team.send("", Failure(in_a_sentence(error).message))
        _end_of_the_first(team)  # torchrun ends all as soon as one has ended with an error
        raise
    ended = _end_of_the_first(team)
    if code or ended:
        raise ToldElsewhere(code or ended)


def _end_of_the_first(team: Team) -> int:
    """Its exit code, once it is over."""
    try:
        while True:
            team.look_at_the_first()
            time.sleep(POLL_S)
    except ToldElsewhere as told:
        team.part()
        return told.exit_code
    except PeerLost as error:
        return error.exit_code
