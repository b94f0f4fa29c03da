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
from typing import Any

from ldmcli.errors import Agreed, LdmError, PeerLost, ToldElsewhere
from ldmcli.runtime.launcher import process_count, process_index
from ldmcli.runtime.team import POLL_S

MISSED_S = 60.0
"""So long after the last one came, those that have not count as missing. Nothing is lost by giving up: no model is open."""
ANSWER_S = 10.0
"""For one that is there, or that has failed, to be heard by the others."""
STORE_WAIT = timedelta(minutes=5)
"""For one answer of the store, which is at once but on a network that breaks."""

HERE, ANSWER, HEARD = "here/{}", "answer/{}", "heard/{}"
"""Keys by the number of a process: it is there (the value says what it has failed with); it still is; it knows how it went."""

_begun = False
"""Whether this process has gone to meet the others: what it fails with later travels another way."""


def meet() -> Any:
    """Wait until all processes of the run are there. Returns a store of torch.distributed, which lasts as long as process 0 holds it.

    Raises, in process 0, Agreed with what another has failed with before, and LdmError which names who has not come within MISSED_S of the
    last; in the others ToldElsewhere then, and LdmError where it is process 0 that has not come.
    """
    global _begun
    _begun = True
    index, count = process_index(), process_count()
    store = _open_store(index, count, MISSED_S)
    try:
        if index == 0:
            _lead(store, count)
        else:
            _follow(store, index)
    except RuntimeError as error:
        raise PeerLost(str(error).splitlines()[0], hint="Start it again.") from error
    return store


def tell_failure(message: str, hint: str, exit_code: int) -> None:
    """To processes that wait for this one, which ends before it has met them. For ANSWER_S at most; nothing where there are none."""
    with suppress(LdmError, RuntimeError, OSError, ImportError):
        count = process_count()
        if _begun or count == 1 or "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun, which ends them
            return
        index, body = process_index(), json.dumps([message, hint, exit_code])
        store = _open_store(index, count, ANSWER_S)
        if index == 0:
            _end(store, body, range(1, count))
        else:
            store.set(HEARD.format(index), b"")
            store.set(HERE.format(index), body)


def _open_store(index: int, count: int, seconds: float) -> Any:
    """Raises LdmError where nobody keeps it within so many seconds, or where it should be is not said."""
    from torch._C._distributed_c10d import PrefixStore, TCPStore  # where torch.distributed has them from; it does not list them

    said, hint = "the processes of this run did not find each other: ", "Start them with torchrun; for one process: unset WORLD_SIZE"
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except KeyError as error:
        raise LdmError(f"{said}{error.args[0]} is not set.", hint=hint) from None
    except ValueError as error:
        raise LdmError(f"{said}MASTER_PORT: {error}", hint=hint) from None
    keeps = index == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    if not keeps:
        _knock(host, port, seconds)
    try:
        # Process 0 of a training run opens it once more, for gloo or NCCL.
        store = TCPStore(host, port, count, keeps, STORE_WAIT, wait_for_workers=False, multi_tenant=True)
    except (RuntimeError, ValueError) as error:
        raise LdmError(f"{said}{str(error).splitlines()[0]}", hint=hint) from error
    return PrefixStore(f"ldm/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def _knock(host: str, port: int, seconds: float) -> None:
    """Wait until somebody listens there: torch would do so with a warning a second, deaf to signals."""
    last = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except (OSError, OverflowError) as error:  # also a name that is not known yet
            if time.monotonic() > last:
                raise _missing([0], f"does not answer at {host}:{port} ({error})") from None
        time.sleep(POLL_S)


def _lead(store: Any, count: int) -> None:
    """Process 0: wait for all, and have all answer once more, since the first may have ended while the last was awaited."""
    _await_all(store, HERE, count, MISSED_S, f"did not come in the last {MISSED_S:g} seconds")
    store.set("called", b"")
    _await_all(store, ANSWER, count, ANSWER_S, "ended before all were there")
    store.set("outcome", b"")


def _await_all(store: Any, key: str, count: int, seconds: float, missed: str) -> None:
    """Raises Agreed with what one has failed with, and LdmError where none came for so long, when those that are there have heard it."""
    missing, last = set(range(1, count)), time.monotonic()
    while missing:
        store.add("awake", 1)
        for number in [number for number in sorted(missing) if store.check([key.format(number)])]:
            missing.discard(number)
            last = time.monotonic()
            if body := store.get(key.format(number)):
                message, hint, exit_code = json.loads(body)
                error = Agreed(f"process {number}: {message}", exit_code=exit_code, hint=hint)
                raise _told(store, error, range(1, count))  # also to those that are just coming
        if missing and time.monotonic() - last > seconds:
            here = [number for number in range(1, count) if store.check([HERE.format(number)])]
            raise _told(store, _missing(sorted(missing), missed), here)
        time.sleep(POLL_S if missing else 0)


def _told(store: Any, error: LdmError, others: Sequence[int]) -> LdmError:
    _end(store, json.dumps([error.message, error.hint, error.exit_code]), others)
    return error


def _end(store: Any, failure: str, others: Sequence[int]) -> None:
    """Tell the others why nothing comes of it, and keep the store until they have heard it."""
    store.set("outcome", failure)
    store.set("called", b"")
    last = time.monotonic() + ANSWER_S
    while not all(store.check([HEARD.format(number)]) for number in others) and time.monotonic() < last:
        time.sleep(POLL_S)


def _follow(store: Any, index: int) -> None:
    """Another process: be there, answer once more, and hear how it went. Raises ToldElsewhere and LdmError."""
    store.set(HERE.format(index), b"")
    _await_first(store, "called")
    store.set(ANSWER.format(index), b"")
    _await_first(store, "outcome")
    if failure := store.get("outcome"):
        store.set(HEARD.format(index), b"")
        raise ToldElsewhere(json.loads(failure)[2])


def _await_first(store: Any, key: str) -> None:
    """Wait for what process 0 says. Raises LdmError when it was not awake for MISSED_S."""
    awake, since, looked = -1, time.monotonic(), 0.0
    while not store.check([key]):
        now = time.monotonic()
        if now - looked > 1:
            looked, before, awake = now, awake, store.add("awake", 0)
            if awake != before:
                since = now
            elif now - since > MISSED_S:
                raise _missing([0], f"did not come, or has ended, in the last {MISSED_S:g} seconds")
        time.sleep(POLL_S)


def _missing(numbers: list[int], missed: str) -> LdmError:
    """numbers: of the processes that are not there. missed: what they did."""
    named = ", ".join(map(str, numbers[:20])) + (", ..." if len(numbers) > 20 else "")
    return LdmError(
        f"{'process' if len(numbers) == 1 else 'processes'} {named} of {process_count()} {missed}.",
        hint="What it printed, or its launcher, says why; by hand: start one for each RANK from 0. Then start all again.",
    )
