"""A server's key: shown without logging in, compared with what the receiver sent, pinned by a person.

Promise: nothing is learned silently. A key is trusted after `confirm` alone, which a person asks for, and `confirm`
takes a key only from `fetch_key` (it is signed on its way through the form).
"""

import asyncio
import hmac
import re
from dataclasses import asdict, dataclass

import asyncssh
from django.core import signing
from django.db import transaction
from django.utils import timezone

from exports import addresses
from exports.destinations.algorithms import HOST_KEY_ALGORITHMS, KEY_EXCHANGES
from exports.models import Destination, HostKey
from exports.reasons import DeliveryError, Refused

SALT = "exports.host_key"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
# Longer than a phone call to the receiver takes.
SIGNED_FOR_SECONDS = 24 * 3600
MOST_KEYS = 3
CONNECT_SECONDS = 10
HANDSHAKE_SECONDS = 20


@dataclass(frozen=True)
class ShownKey:
    """What a server showed. `public_key` is in OpenSSH's form, without a comment."""

    host: str
    port: int
    key_type: str
    bits: int
    fingerprint: str
    public_key: str

    @property
    def signed(self) -> str:
        """The key as it travels through a form, so that `confirm` gets what `fetch_key` saw."""
        return signing.dumps(asdict(self), salt=SALT)


def fetch_key(host: str, port: int) -> ShownKey:
    """Return the key that a server shows now; no user name is sent.

    Raises `DeliveryError`: port_refused, name_unknown, address_refused, no_route.
    """
    place = addresses.places(host, port)[0]
    key = asyncio.run(_fetch(place))
    return shown(host, port, key)


def shown(host: str, port: int, key: asyncssh.SSHKey) -> ShownKey:
    """Return what people compare of a key."""
    return ShownKey(
        host=host,
        port=port,
        key_type=key.get_algorithm(),
        bits=bits_of(key),
        fingerprint=key.get_fingerprint(),
        public_key=" ".join(key.export_public_key("openssh").decode().split()[:2]),
    )


def open_signed(signed: str, *, host: str, port: int) -> ShownKey:
    """Return the key of a form; refuses one that was not fetched here, or from another server."""
    try:
        key = ShownKey(**signing.loads(signed, salt=SALT, max_age=SIGNED_FOR_SECONDS))
    except signing.BadSignature as error:
        raise Refused("Fetch the key again: this one is too old.") from error
    if (key.host, key.port) != (host, port):
        raise Refused("Fetch the key again: host or port are others now.")
    return key


def check_confirmation(key: ShownKey, *, pasted: str, is_compared: bool) -> HostKey.How:
    """Return how a person has confirmed a key; refuses a fingerprint that is not equal, and no answer at all."""
    if pasted.strip():
        # Also as `ssh-keygen -l` prints it: bits, fingerprint, comment and type.
        found = _FINGERPRINT.search(pasted)
        if found and hmac.compare_digest(found[0].encode(), key.fingerprint.encode()):
            return HostKey.How.PASTED
        raise Refused("This fingerprint is not the one that the server shows. Do not go on; ask the receiver.")
    if is_compared:
        return HostKey.How.COMPARED
    raise Refused("Paste the fingerprint that the receiver sent, or say that you have compared it with them.")


def confirm(destination: Destination, key: ShownKey, *, how: HostKey.How, confirmed_by: str) -> HostKey:
    """Pin a key; the oldest gives way when there are more than three."""
    with transaction.atomic():
        Destination.objects.select_for_update().get(pk=destination.pk)
        pinned = HostKey.objects.filter(destination=destination, removed_at=None)
        pinned.filter(fingerprint=key.fingerprint).update(removed_at=timezone.now())
        confirmed = HostKey.objects.create(
            destination=destination,
            public_key=key.public_key,
            key_type=key.key_type,
            bits=key.bits,
            fingerprint=key.fingerprint,
            how=how,
            confirmed_by=confirmed_by,
        )
        kept = pinned.order_by("-confirmed_at", "-pk").values_list("pk", flat=True)[:MOST_KEYS]
        pinned.exclude(pk__in=list(kept)).update(removed_at=timezone.now())
    return confirmed


def pinned_keys(destination: Destination) -> list[HostKey]:
    """Return the keys that a destination's server may show, the newest first."""
    return list(HostKey.objects.filter(destination=destination, removed_at=None).order_by("-confirmed_at", "-pk"))


def bits_of(key: asyncssh.SSHKey) -> int:
    """Return a key's length in bits, as people know it: 3072 for RSA, 256 for Ed25519."""
    public = key.pyca_key
    return int(getattr(public, "key_size", 256))


async def _fetch(place: addresses.Place) -> asyncssh.SSHKey:
    try:
        async with asyncio.timeout(CONNECT_SECONDS + HANDSHAKE_SECONDS):
            key = await asyncssh.get_server_host_key(
                str(place.address),
                place.port,
                config=None,
                kex_algs=KEY_EXCHANGES,
                server_host_key_algs=HOST_KEY_ALGORITHMS,
            )
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise DeliveryError("no_route", host=place.host) from error
    if key is None:
        raise DeliveryError("no_route", host=place.host)
    return key
