"""A budget of memory for decoded pictures: work waits for its share, so that many large ones do not add up."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """`total` bytes, shared by the threads of one process; who comes first is served first."""

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._changed = Condition()
        self._waiting: deque[object] = deque()

    @property
    def used(self) -> int:
        """Bytes that are taken now."""
        return self.total - self._free

    @contextmanager
    def share(self, count: int) -> Iterator[None]:
        """Take `count` bytes while the block runs, once they are free; more than all of them is all of them."""
        count = min(count, self.total)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket and self._free >= count)
            self._waiting.popleft()
            self._free -= count
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()
