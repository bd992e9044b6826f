"""Work on all cores, in order, with few items in flight."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """What `function` returns for each item, in the order of the items, from several threads.

    At most twice as many items as threads are taken ahead, so memory does not grow with their number. With one thread
    more than cores, one may wait for a disk.
    """
    pool = ThreadPoolExecutor(threads)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            while len(pending) == 2 * threads or (pending and pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items: Generator[T, None, None], count: int) -> Generator[T, None, None]:
    """The items, made in a thread of its own, at most `count` ahead of who takes them. Raises what making them raises.

    Close the result to end the thread; `items` is closed in that thread.
    """
    made: SimpleQueue[tuple[T] | None] = SimpleQueue()
    room, stopped = Semaphore(count), Event()
    errors: list[BaseException] = []

    def make() -> None:
        try:
            for item in items:
                room.acquire()
                if stopped.is_set():
                    return
                made.put((item,))
        except BaseException as error:
            errors.append(error)
        finally:
            items.close()
            made.put(None)

    thread = Thread(target=make, name="ahead", daemon=True)  # a camera that hangs does not hold up the end
    thread.start()
    try:
        while (each := made.get()) is not None:
            room.release()
            yield each[0]
        if errors:
            raise errors[0]
    finally:
        stopped.set()
        room.release()
        thread.join(5)
