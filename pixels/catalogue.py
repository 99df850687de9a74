"""What the door knows of advertisers, pixels and segments: an immutable picture, replaced whole after each edit.

Every process has its own. PostgreSQL tells all of them of an edit when it is committed (NOTIFY), and they read
everything anew: a few thousand rows cost less than being clever about which of them changed.
"""

import hashlib
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import structlog
from django.db import connections

from audience.days import Day, LocalDays
from audience.instants import MINUTE, Instant, instant
from audience.models import WriteKey
from audience.proofs import open_secret
from audience.sealing import Unreadable
from audience.writekeys import digest_of
from pixels import lastrows
from pixels.direct import make_direct_pixels
from pixels.hosts import Hosts
from pixels.lastrows import CatalogueRows
from pixels.messages.sender import KnownWriteKey
from pixels.models import Pixel
from pixels.parsing import Item
from pixels.partners import PARTNERS, PIGGYBACKS, KnownPartner, KnownPiggyback, partners_of, piggybacks_of
from segments import rulebook
from segments.models import Segment

log = structlog.get_logger(__name__)

CHANNEL = "muster_catalogue"
# The safety net: an edit that nobody announced is seen after this long at the latest.
RELOAD_SECONDS = 60.0
RECONNECT_SECONDS = 0.5
# Shorter than PostgreSQL's deadlock_timeout: where a migration locks these tables, it is us who give way.
SESSION_OPTIONS = "-c timezone=UTC -c jit=off -c lock_timeout=500"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class KnownSegment:
    """A segment as the door needs it. A deleted one still leads to its advertiser."""

    id: int
    advertiser_id: int
    code: str
    version: int
    is_pixel_kind: bool
    is_active: bool
    is_deleted: bool
    # The write modes by action: what removing needs may be more.
    modes: dict[str, str]
    hosts: Hosts
    are_domains_enforced: bool
    lifetime: int  # microseconds
    longest_lifetime_minutes: int
    value_from: int
    value_to: int | None
    refire: str
    re_add: str
    is_readable_on_page: bool
    # What follows a fire that has added to it.
    piggybacks: tuple[KnownPiggyback, ...] = ()
    id_syncs_per_fire: int = 0


@dataclass(frozen=True, slots=True)
class KnownPixel:
    """A pixel as the door needs it: what a fire does stands in `items`, in the form in which a tag writes it."""

    id: int
    advertiser_id: int
    is_paused: bool
    takes_value: bool
    takes_lifetime: bool
    items: tuple[Item, ...]
    event_name: str = ""  # of the event that its fires record


@dataclass(frozen=True, slots=True)
class KnownAdvertiser:
    """An advertiser as the door needs it, with its segments by code in lower case."""

    id: int
    id_key: bytes = field(repr=False)
    zone: ZoneInfo
    is_cookie_check_on: bool
    direct_pixel: KnownPixel
    segments: dict[str, KnownSegment] = field(repr=False)
    hosts: Hosts = field(default_factory=Hosts, repr=False)  # where its pages are
    redirect_hosts: Hosts = field(default_factory=Hosts, repr=False)  # where browsers may be sent
    partners: tuple[KnownPartner, ...] = ()
    partner_hosts: Hosts = field(default_factory=Hosts, repr=False)
    # Whose pages may read what is a browser's own, and the secrets with which its server proves its users.
    page_origins: frozenset[str] = frozenset()
    identity_secrets: tuple[str, ...] = field(default=(), repr=False)
    phone_country: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one instant, by the database's clock."""

    read_at: datetime | None = None
    advertisers: dict[int, KnownAdvertiser] = field(default_factory=dict)
    segments: dict[int, KnownSegment] = field(default_factory=dict)
    pixels: dict[str, KnownPixel] = field(default_factory=dict)
    pixels_by_number: dict[int, KnownPixel] = field(default_factory=dict)
    # The keys that were renewed, and until when they still work.
    renewed: dict[str, tuple[KnownPixel, Instant]] = field(default_factory=dict)
    first_party_hosts: dict[str, KnownAdvertiser] = field(default_factory=dict)
    # Public keys as they are, server keys by their digest.
    write_keys: dict[str, KnownWriteKey] = field(default_factory=dict)
    day_of: LocalDays = field(default_factory=lambda: LocalDays({}), repr=False)

    def pixel(self, key: str, at: Instant) -> KnownPixel | None:
        """Return the pixel with this public key, or with this one until its renewal's end."""
        known = self.pixels.get(key)
        if known is None and (renewed := self.renewed.get(key)) and at < renewed[1]:
            return renewed[0]
        return known

    def write_key(self, text: str) -> KnownWriteKey | None:
        """Return the live write key that was given as text."""
        known = self.write_keys.get(text)
        if known is not None:
            return None if known.is_server else known
        return self.write_keys.get(digest_of(text)) if text.isascii() else None


_ADVERTISERS = """
    SELECT id, id_key, time_zone, is_cookie_check_on, domains, first_party_hosts, page_origins,
        redirect_hosts, phone_country
    FROM audience_advertiser
"""
_SEGMENTS = """
    SELECT id, advertiser_id, code, active_version, kind, is_active, deleted_at IS NOT NULL, write_mode, removing,
        domains, are_domains_enforced, lifetime_minutes, coalesce(longest_lifetime_minutes, lifetime_minutes),
        coalesce(value_from, 0), value_to, refire, re_add, is_readable_on_page, id_syncs_per_fire
    FROM segments_segment WHERE deleted_at IS NULL OR deleted_at > now() - interval '90 days'
"""
_PIXELS = """
    SELECT id, advertiser_id, public_key, previous_key, previous_key_ends_at,
        state = 'paused' OR deleted_at IS NOT NULL, value_source, may_tags_set_lifetime, is_direct, event_name
    FROM pixels_pixel WHERE deleted_at IS NULL OR deleted_at > now() - interval '90 days'
"""
_ACTIONS = """
    SELECT pixel_id, "do", segment_id, value, lifetime_minutes FROM pixels_pixelaction ORDER BY "do", id
"""
_WRITE_KEYS = """
    SELECT id, advertiser_id, kind, public_key, digest, is_origin_enforced FROM audience_writekey
    WHERE revoked_at IS NULL
"""
_SECRETS = """
    SELECT advertiser_id, sealed FROM audience_identitysecret ORDER BY created_at DESC
"""


# Changes with the columns above, and with what they mean.
FORM = hashlib.sha256(
    "".join((_ADVERTISERS, _SEGMENTS, _PIXELS, _ACTIONS, _WRITE_KEYS, _SECRETS, PARTNERS, PIGGYBACKS)).encode()
).hexdigest()


def load(connection: Connection) -> CatalogueRows:
    """Read everything in one snapshot of the database."""
    make_missing_direct_pixels(connection)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        ((read_at,),) = connection.execute("SELECT now()").fetchall()
        advertisers = connection.execute(_ADVERTISERS).fetchall()
        segments = connection.execute(_SEGMENTS).fetchall()
        pixels = connection.execute(_PIXELS).fetchall()
        actions = connection.execute(_ACTIONS).fetchall()
        write_keys = connection.execute(_WRITE_KEYS).fetchall()
        secrets = connection.execute(_SECRETS).fetchall()
        partners = connection.execute(PARTNERS).fetchall()
        piggybacks = connection.execute(PIGGYBACKS).fetchall()
    return CatalogueRows(
        *(read_at, advertisers, segments, pixels, actions, write_keys, secrets, partners, piggybacks)
    )


def make_missing_direct_pixels(connection: Connection) -> None:
    """Make the built-in pixel of advertisers that came by another road than `save()`."""
    missing = connection.execute(
        "SELECT id FROM audience_advertiser a "
        "WHERE NOT EXISTS (SELECT 1 FROM pixels_pixel p WHERE p.advertiser_id = a.id AND p.is_direct)"
    ).fetchall()
    if missing:
        make_direct_pixels(advertiser_id for (advertiser_id,) in missing)


def _paint(rows: CatalogueRows) -> Picture:
    read_at, advertisers, segments, pixels, actions, write_keys, sealed, of_partners, of_piggybacks = rows
    domains = {row[0]: row[4] for row in advertisers}
    piggybacks = piggybacks_of(of_piggybacks, {row[0]: Hosts(row[7]) for row in advertisers})
    by_number = {row[0]: _segment(row, domains[row[1]], piggybacks.get(row[0], ())) for row in segments}
    by_code: dict[int, dict[str, KnownSegment]] = defaultdict(dict)
    for segment in by_number.values():
        if not segment.is_deleted:
            by_code[segment.advertiser_id][segment.code.lower()] = segment

    items: dict[int, list[Item]] = defaultdict(list)
    for pixel_id, *action in actions:
        items[pixel_id].append(_item(*action))
    known = {row[0]: _pixel(row, items[row[0]]) for row in pixels}

    direct = {row[1]: known[row[0]] for row in pixels if row[8]}
    secrets: dict[int, list[str]] = defaultdict(list)
    for advertiser_id, text in sealed:
        with suppress(Unreadable):  # its key is lost: what it proved is proven no more
            secrets[advertiser_id].append(open_secret(advertiser_id, text))
    partners = partners_of(of_partners)
    owners = {
        row[0]: _advertiser(row, direct[row[0]], by_code[row[0]], tuple(secrets[row[0]]), partners.get(row[0], ()))
        for row in advertisers
        if row[0] in direct
    }
    return Picture(
        read_at=read_at,
        advertisers=owners,
        segments=by_number,
        pixels={row[2]: known[row[0]] for row in pixels},
        pixels_by_number=known,
        renewed={row[3]: (known[row[0]], instant(row[4])) for row in pixels if row[3] and row[4]},
        first_party_hosts={
            host.lower(): owners[row[0]] for row in advertisers if row[0] in owners for host in row[5]
        },
        write_keys=dict(_write_key(row) for row in write_keys if row[1] in owners),
        day_of=LocalDays({owner.id: owner.zone for owner in owners.values()}),
    )


def _segment(row: Sequence[Any], domains: list[str], piggybacks: tuple[KnownPiggyback, ...]) -> KnownSegment:
    removing = row[7] if row[8] == Segment.Removing.AS_ADDING else row[8]
    return KnownSegment(
        id=row[0],
        advertiser_id=row[1],
        code=row[2],
        version=row[3],
        is_pixel_kind=row[4] == Segment.Kind.PIXEL,
        is_active=row[5],
        is_deleted=row[6],
        modes={"add": row[7], "remove": removing},
        hosts=Hosts([*domains, *row[9]]),
        are_domains_enforced=row[10],
        lifetime=row[11] * MINUTE,
        longest_lifetime_minutes=max(row[12], row[11]),
        value_from=row[13],
        value_to=row[14],
        refire=row[15],
        re_add=row[16],
        is_readable_on_page=row[17],
        piggybacks=piggybacks,
        id_syncs_per_fire=row[18],
    )


def _item(do: Any, segment_id: int, value: int | None, lifetime_minutes: int | None) -> Item:
    return Item(
        do,
        str(segment_id),
        value="" if value is None else str(value),
        lifetime="" if lifetime_minutes is None else str(lifetime_minutes),
    )


def _pixel(row: Sequence[Any], items: list[Item]) -> KnownPixel:
    has_values = row[6] != Pixel.ValueSource.NONE
    return KnownPixel(
        id=row[0],
        advertiser_id=row[1],
        is_paused=row[5],
        takes_value=row[6] == Pixel.ValueSource.PAGE and not row[9],
        takes_lifetime=row[7],
        items=tuple(items if has_values else [item._replace(value="") for item in items]),
        event_name=row[9],
    )


def _advertiser(
    row: Sequence[Any],
    direct: KnownPixel,
    segments: dict[str, KnownSegment],
    secrets: tuple[str, ...],
    partners: tuple[KnownPartner, ...],
) -> KnownAdvertiser:
    return KnownAdvertiser(
        id=row[0],
        id_key=bytes(row[1]),
        zone=ZoneInfo(row[2]),
        is_cookie_check_on=row[3],
        direct_pixel=direct,
        segments=segments,
        hosts=Hosts(row[4]),
        redirect_hosts=Hosts(row[7]),
        partners=partners,
        partner_hosts=Hosts(host for partner in partners for host in partner.hosts),
        page_origins=frozenset(row[6]),
        identity_secrets=secrets,
        phone_country=row[8],
    )


def _write_key(row: Sequence[Any]) -> tuple[str, KnownWriteKey]:
    is_server = row[2] == WriteKey.Kind.SERVER
    known = KnownWriteKey(row[0], row[1], is_server=is_server, are_origins_enforced=row[5])
    return row[4] if is_server else row[3], known


def announce(using: str = "default") -> None:
    """Tell every process to read the catalogue anew, when the present transaction commits.

    Saving and deleting rows does it by itself (`pixels.edits`); whoever changes rows by `queryset.update()` or in
    bulk calls this.
    """
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


class Catalogue:
    """The present picture, kept up to date by a thread of its own."""

    def __init__(self, conninfo: str, last_rows: Path | None = None) -> None:
        """`last_rows` is the file that keeps what was read last."""
        self.picture = Picture()
        self._last_rows = last_rows
        self._kept: tuple[Any, ...] = ()
        self._conninfo = psycopg.conninfo.make_conninfo(
            conninfo, application_name="muster-catalogue", connect_timeout=5, options=SESSION_OPTIONS
        )
        self._loaded = threading.Event()
        self._ended = False
        self._has_news = False
        self._ear, self._mouth = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)

    @property
    def is_loaded(self) -> bool:
        return self._loaded.is_set()

    def start(self, timeout_seconds: float = 5.0) -> bool:
        """Begin to follow; return whether the first picture was there in time. The thread goes on trying.

        Where the database does not answer, that of the last process of this disk serves.
        """
        self._thread.start()
        if not self._loaded.wait(timeout_seconds) and self._last_rows is not None:
            rows = lastrows.read(self._last_rows, FORM)
            if rows is not None and not self._loaded.is_set():
                log.warning("catalogue_of_last_process", read_at=rows.read_at.isoformat())
                self._show(_paint(rows))
        return self._loaded.is_set()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        self._ended = True
        self._mouth.send(b".")
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def reload(self) -> None:
        """Read everything now, in the caller's thread."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            self._take(load(connection))
            rulebook.refresh(connection)

    def day_of(self, advertiser_id: int, at: Instant) -> Day:
        """Return the advertiser's local day of an instant."""
        return self.picture.day_of(advertiser_id, at)

    def _take(self, rows: CatalogueRows) -> None:
        self._show(_paint(rows))
        if self._last_rows is not None and rows[1:] != self._kept:
            self._kept = rows[1:]
            try:
                lastrows.save(self._last_rows, FORM, rows)
            except OSError as error:
                log.warning("catalogue_not_kept", error=type(error).__name__)

    def _show(self, picture: Picture) -> None:
        self.picture = picture
        self._loaded.set()

    def _run(self) -> None:
        noted: Picture | None = None
        while not self._ended:
            try:
                self._follow()
            except psycopg.Error as error:
                if noted is not self.picture:  # once for each loss, not for each attempt
                    log.warning("catalogue_lost_database", error=type(error).__name__)
                noted = self.picture
            except Exception:
                # It outlives everything: the last picture stays in use, and the next attempt may succeed.
                log.exception("catalogue_failed")
            if not self._ended:
                select.select([self._ear.fileno()], [], [], RECONNECT_SECONDS)

    def _follow(self) -> None:
        with (
            psycopg.connect(self._conninfo, autocommit=True) as connection,
            rulebook.keeping(connection) as read_rules,
        ):
            connection.add_notify_handler(self._hear)
            # First listen, then read: what is committed in between is read, and announced once more.
            connection.execute(f"LISTEN {CHANNEL}")
            while not self._ended:
                self._has_news = False
                # Rules first: who is loaded can ask them.
                read_rules()
                self._take(load(connection))
                # Opened where a direct pixel or a rule was new; there is no other use for it here.
                connections["default"].close()
                self._sleep_until_news(connection)

    def _hear(self, _: psycopg.Notify) -> None:
        self._has_news = True

    def _sleep_until_news(self, connection: Connection) -> None:
        """Return when an edit was announced, when the safety net's time has come, or when the end is asked for."""
        deadline = time.monotonic() + RELOAD_SECONDS
        sockets = [connection.fileno(), self._ear.fileno()]
        while not self._ended and not self._has_news and not _reads_news(connection):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            select.select(sockets, [], [], left)


def _reads_news(connection: Connection) -> bool:
    """Read what has come and say whether there was an announcement in it.

    By libpq itself: an announcement that came with the last packet of a query stands in libpq's buffer, where
    neither `select` nor psycopg's `notifies()` would find it before the next packet.
    """
    connection.pgconn.consume_input()
    has_news = False
    while connection.pgconn.notifies():
        has_news = True
    return has_news
