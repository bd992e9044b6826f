"""What a check found, and the app that it asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SECONDS = 30  # for one answer


@dataclass
class Report:
    """What a check found; prints itself as lines with ok or NOT YET."""

    lesson: str
    lines: list[tuple[bool, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything was as expected; False where nothing could be checked."""
        return bool(self.lines) and all(fine for fine, _ in self.lines)

    def expect(self, what: str, wanted: Any, came: Any, hint: str) -> bool:
        """Note one comparison; `hint` is shown where `came` differs from `wanted`."""
        fine = wanted == came
        detail = (
            "" if fine else f"\n           expected: {wanted}\n           came:     {came}\n           hint:     {hint}"
        )
        self.lines.append((fine, what + detail))
        return fine

    def __str__(self) -> str:
        lines = [f"{'ok     ' if fine else 'NOT YET'}  {text}" for fine, text in self.lines]
        right = sum(fine for fine, _ in self.lines)
        return "\n".join([*lines, f"{right} of {len(lines)} right" + (": well done!" if self.ok else "")])


@contextmanager
def served(target: Any) -> Iterator[str]:
    """The URL of a target: itself, or that of an ASGI app served on a free port while the block lasts."""
    if isinstance(target, str):
        yield target.rstrip("/")
        return
    from yololab.serving.kernel import serve

    server = serve(target, port=0)
    try:
        yield server.url
    finally:
        server.stop()
