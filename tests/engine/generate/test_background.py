"""Work in a second thread: in order, bounded, its errors seen, nothing half done."""

import threading
import time

import pytest
import torch

from ldmcli.engine.generate.background import BackgroundWorker


def test_results_come_in_order_from_one_other_thread():
    with BackgroundWorker(3, 1) as background:
        results = []
        for number in range(20):
            results += background.add(lambda number=number: (time.sleep(0.002 * (number % 3)), number, threading.get_ident())[1:])
            results += background.completed()
        results += background.drain()
    assert [number for number, _ in results] == list(range(20))
    assert len({thread for _, thread in results} - {threading.get_ident()}) == 1


def test_no_more_than_the_limit_ever_waits():
    hold = threading.Event()
    with BackgroundWorker(2, 1) as background:
        assert [list(background.add(lambda: hold.wait(10))) for _ in range(2)] == [[], []]
        threading.Timer(0.05, hold.set).start()
        assert list(background.add(lambda: "third")) == [True] and len(background.waiting) == 2


def test_an_error_is_raised_where_its_result_is_asked_for_and_drops_what_has_not_begun():
    done = []

    def fail():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), BackgroundWorker(9, 1) as background:
        list(background.add(lambda: done.append(1)))
        list(background.add(fail))
        begun, go_on = threading.Event(), threading.Event()
        list(background.add(lambda: (begun.set(), go_on.wait(10), done.append(2))))
        list(background.add(lambda: done.append(3)))
        begun.wait(10)
        threading.Timer(0.2, go_on.set).start()  # when `drain` has met the error
        list(background.drain())
    assert done == [1, 2]


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_has_as_many_threads_there_as_here(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with BackgroundWorker(1, threads) as background:
        list(background.add(torch.get_num_threads))
        assert list(background.drain()) == [threads]
    torch.set_num_threads(before)
