"""A function that a check gives to a student's app, and can hold: it compares events, not times."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from .probe import SECONDS

LIMIT = 5  # seconds for what takes milliseconds where it is right


class Held:
    """A slow function: keeps its calls, counts who is inside; lets nobody out before `until(self)` or `patience`."""

    def __init__(self, function: Callable, until: Callable = lambda held: False, patience: float = SECONDS):
        self.function, self.until, self.patience = function, until, patience
        self.calls: list[Any] = []
        self.inside = self.most = 0
        self.on_loop, self.changed = False, threading.Condition()

    def __call__(self, *args: Any) -> Any:
        with self.changed:
            self.calls.append(list(args[0]) if args and isinstance(args[0], list) else args[0] if args else None)
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.on_loop |= _runs_a_loop()  # it stands still now: nobody could let it out
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.on_loop or self.until(self), self.patience)
            self.inside -= 1
        return self.function(*args)

    def wait(self, inside: int) -> bool:
        """Whether so many came in together, in good time; at once where the loop itself came in and stands still."""
        with self.changed:
            return self.changed.wait_for(lambda: self.on_loop or self.most >= inside, LIMIT)

    def release(self) -> None:
        """Let everybody out, now and later."""
        with self.changed:
            self.until = lambda held: True
            self.changed.notify_all()


def _runs_a_loop() -> bool:
    """Whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
