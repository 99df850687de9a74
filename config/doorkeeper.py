"""The processes of the door's listener: gunicorn keeps them, and each runs `config.door` in a uvloop of its own.

gunicorn binds the sockets before it forks, so that a worker that is replaced (SIGHUP) or dies leaves nobody waiting
at a closed one. This module is loaded by its master process, which needs nothing of Muster.
"""

import os
import signal

import uvloop
from gunicorn.workers.base import Worker

from config.leash import end_with_starter


class Doorkeeper(Worker):
    """A worker whose application is `serve(sockets, notify)`, a coroutine that ends by itself after SIGTERM."""

    def init_signals(self) -> None:
        """Leave the signals to the loop; until it turns they do what they do to any process."""
        for one in self.SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        for one in (signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
            signal.signal(one, signal.SIG_IGN)

    def run(self) -> None:
        end_with_starter(self.ppid)
        uvloop.run(self.wsgi(self.sockets, self._notify))

    def _notify(self) -> None:
        """Say that the loop turns (a worker that is stuck is replaced), and end without a master."""
        self.notify()
        if os.getppid() != self.ppid:
            os.kill(os.getpid(), signal.SIGTERM)
