"""How the processes that a launcher started find each other: who has failed before, or does not come, is named.

torchrun and `accelerate launch` end the others when one has ended, srun with --kill-on-bad-exit. Where nobody does, the store in which they
meet learns of it: process 0 keeps it, or torchrun's agent. Imports torch in its functions alone: a command line may fail without it.
"""

import json
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from ldmcli.errors import Agreed, LdmError, PeerLost, ToldElsewhere
from ldmcli.runtime.launcher import process_count, process_index, restarted
from ldmcli.runtime.team import POLL_S

MISSED_S = 120.0
"""So long after the last one came, those that have not count as missing. Nothing is lost by giving up: no model is open."""
ANSWER_S = 10.0
"""For one that is there, or that has failed, to be heard by the others."""
STORE_WAIT = timedelta(minutes=5)
"""For one answer of the store, which is at once but on a network that breaks."""

_begun = False
"""Whether this process has gone to meet the others: what it fails with later travels another way."""


class Meeting(NamedTuple):
    """All are there. store: of torch.distributed, with nothing in it; it lasts as long as process 0 or torchrun holds it. restarted:
    whether torchrun has started some of them anew, which not all of them are told."""

    store: Any
    restarted: bool


class _Sign(NamedTuple):
    """Of a process: what the store has under here/NUMBER. token: names this start of it, since torchrun's store may still hold an earlier
    one's; failed: message, hint and exit code of one that ends."""

    token: str
    restarted: bool
    failed: list[Any] | None = None


def meet() -> Meeting:
    """Wait until all processes of the run are there.

    Raises, in process 0, Agreed with what another has failed with before, and LdmError which names who has not come within MISSED_S of the
    last; in the others ToldElsewhere then, and LdmError where it is process 0 that has not come.
    """
    global _begun
    _begun = True
    index, count, token = process_index(), process_count(), os.urandom(8).hex()
    store = _open_store(index, count, MISSED_S)
    try:
        if index == 0:
            found = _lead(store, count, token)
        else:
            store.set(f"here/{index}", json.dumps(_Sign(token, restarted())))
            found = _follow(store, token, max(POLL_S, count / 5000))
    except RuntimeError as error:
        raise PeerLost(str(error).splitlines()[0], hint="Start it again.") from error
    from torch._C._distributed_c10d import PrefixStore  # see _open_store

    return Meeting(PrefixStore(found["name"], store), found["restarted"])


def tell_failure(message: str, hint: str, exit_code: int) -> None:
    """To processes that wait for this one, which ends before it has met them. For ANSWER_S at most; nothing where there are none."""
    with suppress(LdmError, RuntimeError, OSError, ImportError):
        count = process_count()
        if _begun or count == 1 or "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun, which ends them
            return
        index, token = process_index(), os.urandom(8).hex()
        store = _open_store(index, count, ANSWER_S)
        if index == 0:
            _end(store, [message, hint, exit_code], range(1, count))
        else:
            store.set(f"heard/{token}", b"")
            store.set(f"here/{index}", json.dumps(_Sign(token, False, [message, hint, exit_code])))


def _open_store(index: int, count: int, seconds: float) -> Any:
    """Raises LdmError where nobody keeps it within so many seconds, or where it should be is not said."""
    said, hint = "the processes of this run did not find each other: ", "Start them with torchrun; for one process: unset WORLD_SIZE"
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except KeyError as error:
        raise LdmError(f"{said}{error.args[0]} is not set.", hint=hint) from None
    except ValueError as error:
        raise LdmError(f"{said}MASTER_PORT: {error}", hint=hint) from None
    if not 0 < port < 2**16:
        raise LdmError(f"{said}MASTER_PORT: {port} is no port.", hint=hint)
    from torch._C._distributed_c10d import PrefixStore, TCPStore  # where torch.distributed has them from; it does not list them

    keeps = index == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    if not keeps:
        _knock(host, port, seconds)
    try:
        store = TCPStore(host, port, count, keeps, STORE_WAIT, wait_for_workers=False)
    except (RuntimeError, ValueError) as error:
        raise LdmError(f"{said}{str(error).splitlines()[0]}", hint=hint) from error
    return PrefixStore("ldm", store)


def _knock(host: str, port: int, seconds: float) -> None:
    """Wait until somebody listens there: torch would do so with a warning a second, deaf to signals."""
    last = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:  # also a name that is not known yet
            if time.monotonic() > last:
                raise _missing([0], f"does not answer at {f'[{host}]' if ':' in host else host}:{port} ({error})") from None
        time.sleep(POLL_S)


def _sign(store: Any, number: int) -> _Sign | None:
    return _Sign(*json.loads(store.get(f"here/{number}"))) if store.check([f"here/{number}"]) else None


def _lead(store: Any, count: int, name: str) -> dict[str, Any]:
    """Process 0: call each that comes, and all once more, since the first may have ended while the last was awaited. Returns what all
    then know. name: of a part of the store that nothing was written to."""
    _call(store, count, f"come/{name}", MISSED_S, f"did not come in the last {MISSED_S:g} seconds")
    signs = _call(store, count, f"begin/{name}", ANSWER_S, "ended before all were there")
    found = {"name": name, "restarted": restarted() or any(sign.restarted for sign in signs)}
    for sign in signs:
        store.set(f"outcome/{sign.token}", json.dumps(found))
    return found


def _call(store: Any, count: int, word: str, seconds: float, missed: str) -> list[_Sign]:
    """Until all have answered. Raises Agreed with what one has failed with, and LdmError where none came for so long, when those that are
    there have heard it. word: one that nobody was called by before."""
    signs: dict[int, _Sign] = {}
    last = time.monotonic()
    while len(signs) < count - 1:
        store.add("awake", 1)
        for number in [number for number in range(1, count) if number not in signs]:
            if (sign := _sign(store, number)) is None:
                continue
            if sign.failed:
                message, hint, exit_code = sign.failed
                error: LdmError = Agreed(f"process {number}: {message}", exit_code=exit_code, hint=hint)
                raise _told(store, error, range(1, count))  # also to those that are just coming
            store.set(f"call/{sign.token}", word)
            if store.check([f"{word}/{sign.token}"]):
                signs[number], last = sign, time.monotonic()
        missing = [number for number in range(1, count) if number not in signs]
        if missing and time.monotonic() - last > seconds:
            raise _told(store, _missing(missing, missed), [number for number in range(1, count) if number in signs])
        time.sleep(POLL_S if missing else 0)
    return [*signs.values()]


def _told(store: Any, error: LdmError, others: Sequence[int]) -> LdmError:
    _end(store, [error.message, error.hint, error.exit_code], others)
    return error


def _end(store: Any, failed: list[Any], others: Sequence[int]) -> None:
    """Tell the others why nothing comes of it, and keep the store until they have heard it."""
    left, last = set(others), time.monotonic() + ANSWER_S
    while left and time.monotonic() < last:
        for number in list(left):
            if sign := _sign(store, number):
                store.set(f"outcome/{sign.token}", json.dumps({"failed": failed}))
                if store.check([f"heard/{sign.token}"]):
                    left.discard(number)
        time.sleep(POLL_S if left else 0)


def _follow(store: Any, token: str, pause: float) -> dict[str, Any]:
    """Another process: answer when it is called, and hear how it went. Raises ToldElsewhere, LdmError when process 0 was not awake for
    MISSED_S."""
    answered, awake, since, looked = b"", -1, time.monotonic(), 0.0
    while not store.check([f"outcome/{token}"]):
        if store.check([f"call/{token}"]) and (word := store.get(f"call/{token}")) != answered:
            answered = word
            store.set(f"{word.decode()}/{token}", b"")
        now = time.monotonic()
        if now - looked > 1:
            looked, before, awake = now, awake, store.add("awake", 0)
            if awake != before:
                since = now
            elif now - since > MISSED_S:
                raise _missing([0], f"did not come, or has ended, in the last {MISSED_S:g} seconds")
        time.sleep(pause)
    found: dict[str, Any] = json.loads(store.get(f"outcome/{token}"))
    if "failed" in found:
        store.set(f"heard/{token}", b"")
        raise ToldElsewhere(found["failed"][2])
    return found


def _missing(numbers: list[int], missed: str) -> LdmError:
    """numbers: of the processes that are not there. missed: what they did."""
    named = ", ".join(map(str, numbers[:20])) + (", ..." if len(numbers) > 20 else "")
    return LdmError(
        f"{'process' if len(numbers) == 1 else 'processes'} {named} of {process_count()} {missed}.",
        hint="What it printed, or its launcher, says why; by hand: start one for each RANK from 0. Then start all again.",
    )
