"""Work that one other thread does, while this one goes on. Knows no pictures."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from ldmcli.runtime.device import use_threads
from ldmcli.runtime.signals import Interrupted

Result = TypeVar("Result")


class BackgroundWorker(Generic[Result]):
    """At most `limit` pieces wait at a time. Results come back in the order in which the work was handed over.

    What a piece raises is raised here, where its result is asked for. Leaving by an error drops what has not begun, and waits for
    what has: nothing is ever half done. A signal drops nothing. threads: torch's in the other thread, so that it computes the same
    numbers as this one.
    """

    def __init__(self, limit: int, threads: int) -> None:
        self.limit = limit
        self.waiting: deque[Future[Result]] = deque()
        self.pool = ThreadPoolExecutor(1, "background", use_threads, (threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.pool.shutdown(cancel_futures=kind not in (None, Interrupted, GeneratorExit))

    def add(self, work: Callable[[], Result]) -> Iterator[Result]:
        """Hand over. Yields results that had to be waited for, because there was no room."""
        while len(self.waiting) >= self.limit:
            yield self.waiting.popleft().result()
        self.waiting.append(self.pool.submit(work))

    def completed(self) -> Iterator[Result]:
        """What is done by now."""
        while self.waiting and self.waiting[0].done():
            yield self.waiting.popleft().result()

    def drain(self) -> Iterator[Result]:
        """Wait for everything."""
        while self.waiting:
            yield self.waiting.popleft().result()


class BackgroundTask(Generic[Result]):
    """One piece of work in a thread of its own. A process that ends does not wait for it."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self.future: Future[Result] = Future()

        def run() -> None:
            try:
                self.future.set_result(work())
            except BaseException as error:  # belongs to whoever asks for the result
                self.future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()

    def result(self) -> Result:
        """Wait for it. Raises what the work raised."""
        return self.future.result()
