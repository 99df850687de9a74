"""Files on an SFTP server.

Promise: the server must show a pinned host key before it learns a user name; exactly one log-in is tried; nothing of
the machine's own SSH configuration, keys or agent is used. An answer's text and a server's banner reach nobody.
"""

import asyncio
import socket
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import asyncssh

from exports import addresses
from exports.destinations import login_keys
from exports.destinations.algorithms import CIPHERS, KEY_EXCHANGES, MACS, host_key_algorithms
from exports.destinations.connection import RECORDED_EVERY_BYTES, NameTaken, SftpSettings, Watcher, ignore_step
from exports.destinations.sftp_errors import FAILURES, told
from exports.reasons import DeliveryError

CONNECT_SECONDS = 10
LOGIN_SECONDS = 20
REQUEST_SECONDS = 30
STALLED_SECONDS = 60
GOODBYE_SECONDS = 1
KEEPALIVE_SECONDS = 15
MISSED_KEEPALIVES = 3
# Bytes handed over at a time; the library's own block size and number of requests in flight are the ones that work.
SLICE_BYTES = 4 * 1024 * 1024
FILE_MODE = 0o640

_T = TypeVar("_T")


class SftpConnection:
    """A log-in to an SFTP server, in one folder. Calls block; an event loop of its own does the work."""

    def __init__(self, to: SftpSettings, watcher: Watcher = ignore_step) -> None:
        self._to = to
        self._facts = {"host": to.host, "user": to.username} | ({"folder": to.path} if to.path else {})
        self.host_key = ""
        self._runner = asyncio.Runner()
        self._ssh: asyncssh.SSHClientConnection | None = None
        try:
            self._connect(watcher)
            watcher("folder")
            self._enter_folder()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def size(self, name: str) -> int | None:
        try:
            return self._ask(self._sftp.lstat(self._at(name))).size
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return None
        except FAILURES as error:
            raise told(error, self._facts) from error

    def upload(self, local: Path, name: str, *, offset: int = 0) -> Iterator[int]:
        flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | (0 if offset else asyncssh.FXF_TRUNC)
        remaining = local.stat().st_size - offset
        with local.open("rb") as source:
            source.seek(offset)
            try:
                target = self._ask(self._open(name, flags))
                while block := source.read(SLICE_BYTES):
                    self._run(_write_slice(target, block, offset))
                    offset, remaining = offset + len(block), remaining - len(block)
                    if offset % RECORDED_EVERY_BYTES == 0 or not remaining:
                        yield offset
                with suppress(asyncssh.SFTPOpUnsupported):
                    self._ask(target.fsync())
                self._ask(target.close())
            except FAILURES as error:
                raise self._why_not_written(error, remaining) from error

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            source = self._ask(self._open(name, asyncssh.FXF_READ))
            left = length
            while left is None or left > 0:
                block = self._run(_read_slice(source, min(left or SLICE_BYTES, SLICE_BYTES), offset))
                if not block:
                    break
                offset, left = offset + len(block), None if left is None else left - len(block)
                yield block
            self._ask(source.close())
        except FAILURES as error:
            raise told(error, self._facts) from error

    def publish(self, name: str, final: str) -> None:
        if self.size(final) is not None:
            raise NameTaken(final)
        try:
            self._ask(self._sftp.rename(self._at(name), self._at(final)))
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists) as error:
            # OpenSSH says “Failure” when somebody was quicker; a name that is still free means another refusal.
            if self.size(final) is not None:
                raise NameTaken(final) from error
            raise DeliveryError("rename_refused", **self._facts) from error
        except FAILURES as error:
            raise told(error, self._facts, denied="rename_refused") from error

    def replace(self, name: str, final: str) -> None:
        try:
            self.replace_in_one_step(name, final)
        except DeliveryError as error:
            if error.reason.code != "rename_refused":
                raise
            self.remove(final)
            self.publish(name, final)

    def replace_in_one_step(self, name: str, final: str) -> None:
        try:
            self._ask(self._sftp.posix_rename(self._at(name), self._at(final)))
        except FAILURES as error:
            raise told(error, self._facts, denied="rename_refused") from error

    def remove(self, name: str) -> None:
        try:
            with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                self._ask(self._sftp.remove(self._at(name)))
        except FAILURES as error:
            raise told(error, self._facts) from error

    def free_bytes(self) -> int | None:
        try:
            answer = self._ask(self._sftp.statvfs(self._at("")))
        except FAILURES:
            return None
        return int(answer.bavail * answer.frsize)

    def close(self) -> None:
        if self._ssh is not None:
            self._ssh.close()
            with suppress(Exception):
                self._run(asyncio.wait_for(self._ssh.wait_closed(), GOODBYE_SECONDS))
            self._ssh.abort()
            self._ssh = None
        self._runner.close()

    def _connect(self, watcher: Watcher) -> None:
        to = self._to
        if not to.trusted_keys:
            raise DeliveryError("host_key_missing", **self._facts)
        keys = [login_keys.read(to.private_key, to.passphrase)] if to.private_key else []
        watcher("name")
        found = addresses.resolve(to.host, to.port)
        watcher("address")
        addresses.check_port(to.port)
        places = addresses.check(to.host, to.port, found)
        watcher("port")
        connected = self._run(_open_socket(places))
        watcher("ssh")
        client = _Client(to, watcher)
        self._ssh = self._run(self._log_in(client, connected, keys))
        self.host_key = client.shown_key
        try:
            self._sftp = self._ask(self._ssh.start_sftp_client())
        except FAILURES as error:
            raise told(error, self._facts, denied="not_allowed") from error

    async def _log_in(
        self, client: "_Client", connected: socket.socket, keys: list[asyncssh.SSHKey]
    ) -> asyncssh.SSHClientConnection:
        to = self._to
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                return await asyncssh.connect(
                    sock=connected,
                    config=None,
                    client_factory=lambda: client,
                    # An empty list trusts nothing by itself: `_Client` compares the key with the pinned ones.
                    known_hosts=([], [], []),
                    x509_trusted_certs=None,
                    server_host_key_algs=host_key_algorithms(client.pinned_types),
                    kex_algs=KEY_EXCHANGES,
                    encryption_algs=CIPHERS,
                    mac_algs=MACS,
                    compression_algs=None,
                    username=to.username,
                    client_keys=keys or None,
                    agent_path=None,
                    gss_host=None,
                    host_based_auth=False,
                    preferred_auth=["publickey"] if keys else ["password", "keyboard-interactive"],
                    keepalive_interval=KEEPALIVE_SECONDS,
                    keepalive_count_max=MISSED_KEEPALIVES,
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise DeliveryError("host_key_changed", date=to.confirmed_on, host=to.host) from error
        except asyncssh.PermissionDenied as error:
            raise DeliveryError("login_refused", **self._facts) from error
        except FAILURES as error:
            raise DeliveryError("no_route", host=to.host) from error
        finally:
            if client.connection is None:
                connected.close()

    def _enter_folder(self) -> None:
        try:
            attributes = self._ask(self._sftp.stat(self._at("")))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise DeliveryError("folder_missing", **self._facts) from error
        except FAILURES as error:
            raise told(error, self._facts) from error
        if attributes.type != asyncssh.FILEXFER_TYPE_DIRECTORY:
            raise DeliveryError("folder_missing", **self._facts)

    def _at(self, name: str) -> str:
        return "/".join(part for part in (self._to.path.rstrip("/") or ".", name) if part)

    async def _open(self, name: str, flags: int) -> asyncssh.SFTPClientFile:
        attributes = asyncssh.SFTPAttrs(permissions=FILE_MODE) if flags & asyncssh.FXF_CREAT else asyncssh.SFTPAttrs()
        return await self._sftp.open(self._at(name), flags, attributes, encoding=None)

    def _why_not_written(self, error: Exception, remaining: int) -> DeliveryError:
        """OpenSSH says “Failure” of a full disk: its free space tells."""
        if isinstance(error, asyncssh.SFTPFailure):
            free = self.free_bytes()
            if free is not None and free < remaining:
                return DeliveryError("disk_full", missing_mb=max(1, round((remaining - free) / 1_000_000)))
        return told(error, self._facts)

    def _ask(self, request: Awaitable[_T]) -> _T:
        """Wait for one request's answer."""
        return self._run(asyncio.wait_for(request, REQUEST_SECONDS))

    def _run(self, work: Awaitable[_T]) -> _T:
        async def awaited() -> _T:
            return await work

        return self._runner.run(awaited())


class _Client(asyncssh.SSHClient):
    """What we answer while a connection is made: which key is trusted, and one log-in."""

    def __init__(self, to: SftpSettings, watcher: Watcher) -> None:
        self._trusted = [asyncssh.import_public_key(key) for key in to.trusted_keys]
        self._password = to.password
        self._watcher = watcher
        self.shown_key = ""
        self.connection: asyncssh.SSHClientConnection | None = None

    @property
    def pinned_types(self) -> tuple[str, ...]:
        return tuple(key.get_algorithm() for key in self._trusted)

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._watcher("host_key")
        if key not in self._trusted:
            return False
        self.shown_key = key.get_fingerprint()
        self._watcher("login")
        return True

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return False

    def password_auth_requested(self) -> str | None:
        # Once: a second try with a wrong password locks accounts.
        password, self._password = self._password, None
        return password

    def kbdint_auth_requested(self) -> str | None:
        return None if self._password is None else ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        if not prompts:
            return []
        password = self.password_auth_requested()
        # One question that is not shown while typed is the password's.
        return None if password is None or len(prompts) != 1 or prompts[0][1] else [password]


async def _open_socket(places: list[addresses.Place]) -> socket.socket:
    """Connect to the first checked address that answers."""
    loop = asyncio.get_running_loop()
    for place in places:
        family = socket.AF_INET if place.address.version == 4 else socket.AF_INET6
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(opened, (str(place.address), place.port)), CONNECT_SECONDS)
        except (OSError, TimeoutError):
            opened.close()
        else:
            return opened
    raise DeliveryError("no_route", host=places[0].host)


async def _read_slice(source: asyncssh.SFTPClientFile, length: int, offset: int) -> bytes:
    # Opened without an encoding, a file gives bytes.
    return cast(bytes, await asyncio.wait_for(source.read(length, offset), STALLED_SECONDS))


async def _write_slice(target: asyncssh.SFTPClientFile, block: bytes, offset: int) -> None:
    """Write a slice as requests that are under way together; stalled when none is answered for a minute."""
    size = target.write_len
    pending: set[asyncio.Task[Any]] = {
        asyncio.ensure_future(target.write(block[start : start + size], offset + start))
        for start in range(0, len(block), size)
    }
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=STALLED_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise TimeoutError("stalled")
            for task in done:
                task.result()
    finally:
        for task in pending:
            task.cancel()
