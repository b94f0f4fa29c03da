"""What a signal does, in this process."""

import os
import signal

import pytest

from ldmcli.runtime import signals
from ldmcli.runtime.ending import EXIT_CODES
from ldmcli.training.signals import listen_for_signals


def run(seen):
    """A run that puts itself in order."""
    try:
        while True:
            yield "step"
            seen.append("working")
    except signals.Interrupted as stop:
        yield f"in order after {stop.signal.name}"
        raise


def test_a_signal_while_an_event_is_shown_is_raised_in_the_run_and_its_last_events_are_passed_on():
    seen = []
    with signals.listen(), pytest.raises(signals.Interrupted) as caught:
        for event in signals.relayed(run(seen)):
            seen.append(event)
            if len(seen) == 3:
                signal.raise_signal(signal.SIGTERM)
                seen.append("shown")
    assert seen == ["step", "working", "step", "shown", "in order after SIGTERM"]
    assert caught.value.exit_code == 143


def test_a_signal_while_the_run_works_is_raised_there():
    def working():
        try:
            signal.raise_signal(signal.SIGINT)
            yield "never"
        except signals.Interrupted:
            yield "in order"

    with signals.listen():
        assert list(signals.relayed(working())) == ["in order"]


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP),
        (signal.SIGTERM, signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM, signal.SIGINT),
    ],
)
def test_training_is_told_and_goes_on(first, second, left):
    with listen_for_signals() as requests:
        signal.raise_signal(first)
        assert requests.stop == first
        signal.raise_signal(second)
        assert requests.stop == left


def test_a_second_ctrl_c_and_any_signal_while_training_prepares_are_raised():
    with listen_for_signals() as requests:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(signals.Interrupted):
            signal.raise_signal(signal.SIGINT)
    for number in EXIT_CODES:
        with listen_for_signals(preparing=True) as requests, pytest.raises(signals.Interrupted):
            signal.raise_signal(number)
        assert requests.stop is None


def test_what_was_there_before_comes_back_and_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = [signal.getsignal(number) for number in EXIT_CODES]
        with signals.listen():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
        assert [signal.getsignal(number) for number in EXIT_CODES] == handlers
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_fork_has_the_signals_of_any_process():
    with signals.listen():
        child = os.fork()
        if not child:
            os._exit(7 if signal.getsignal(signal.SIGINT) == signal.SIG_DFL and signal.set_wakeup_fd(-1) == -1 else 8)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
