"""An event loop in a thread of its own, for those who have none: the Django view."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Run one coroutine in a loop of its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._thread.start()

    def call(self, what: Callable[..., Any], *arguments: Any) -> None:
        """Call something in the loop, without waiting for it. Raises RuntimeError where the loop has ended."""
        self._loop.call_soon_threadsafe(what, *arguments)

    def run(self, work: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
        """Run something else in the loop and wait for what it returns. Raises TimeoutError."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    def join(self, timeout_seconds: float) -> None:
        """Wait for the coroutine's end."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self._loop.run_until_complete(work)
        finally:
            self._loop.close()
