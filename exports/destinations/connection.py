"""What every kind of destination can do with a file, and the settings a connection needs.

A connection works in one folder and knows files by plain names. It raises `DeliveryError` with a reason of the table;
`NameTaken` alone is for the sender to answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

# After so many bytes the sender records how far it has come.
RECORDED_EVERY_BYTES = 8 * 1024 * 1024

STEPS = {
    "name": "The name resolves",
    "address": "The address is allowed",
    "port": "The port answers",
    "ssh": "SSH agrees",
    "host_key": "The host key is the confirmed one",
    "login": "The log-in works",
    "folder": "The folder exists",
    "write": "A test file can be written",
    "size": "Its size is read back",
    "rename": "It can be renamed",
    "taken": "A taken name is protected",
    "replace": "An own file can be replaced in one step",
    "read": "A file can be read",
    "remove": "The test files are removed",
    "space": "Free space",
}
Watcher = Callable[[str], None]


class NameTaken(Exception):
    """A file stands under the final name already; nothing was changed."""


@dataclass(frozen=True)
class FolderSettings:
    """A sub-folder of a root that the operator named."""

    root: str
    path: str


@dataclass(frozen=True)
class SftpSettings:
    """How to log in to a server. Secrets are in no `repr`."""

    host: str
    port: int
    username: str
    path: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    # Public keys in OpenSSH's form; the server must show one of them.
    trusted_keys: tuple[str, ...] = ()
    # The day on which the newest of them was confirmed, for the sentence when the server shows another one.
    confirmed_on: str = ""


class Connection(Protocol):
    """An open way to a folder. Names are plain file names; `offset` and sizes are in bytes."""

    # The fingerprint of the key that the server has shown; empty where there is no server.
    host_key: str

    def size(self, name: str) -> int | None:
        """Return a file's size; None where there is none of that name."""

    def upload(self, local: Path, name: str, *, offset: int = 0) -> Iterator[int]:
        """Write a local file from `offset` on, flush and close it; yield how many bytes are acknowledged."""

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on."""

    def publish(self, name: str, final: str) -> None:
        """Rename to a free name; raises `NameTaken`."""

    def replace(self, name: str, final: str) -> None:
        """Rename over an own file, in one step where that is offered."""

    def replace_in_one_step(self, name: str, final: str) -> None:
        """Rename over an own file in one step; raises `DeliveryError` rename_refused where that is not offered."""

    def remove(self, name: str) -> None:
        """Remove an own file; a missing one is no error."""

    def free_bytes(self) -> int | None:
        """Return the free space, where it is told."""

    def close(self) -> None:
        """Let go of the connection; never raises."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def ignore_step(_: str) -> None:
    """Watch no steps."""
