"""The secrets of destinations at rest: each opens for its own advertiser, destination and kind only.

How they are sealed: `audience.sealing`.
"""

from audience.sealing import Unreadable, is_under_first_key, keyed_digest, seal, unseal
from exports.models import Destination, DestinationSecret
from exports.reasons import DeliveryError

__all__ = ["drop_secret", "keep_secret", "keyed_digest", "rotate", "secret_of"]


def keep_secret(destination: Destination, kind: str, secret: str, *, set_by: str) -> None:
    """Seal a secret of a destination and store it in place of an earlier one."""
    DestinationSecret.objects.filter(destination=destination, kind=kind).delete()
    DestinationSecret.objects.create(
        destination=destination, kind=kind, sealed=seal(_place(destination, kind), secret), set_by=set_by
    )


def drop_secret(destination: Destination, kind: str) -> None:
    """Forget a secret of a destination."""
    DestinationSecret.objects.filter(destination=destination, kind=kind).delete()


def secret_of(destination: Destination, kind: str) -> str | None:
    """Open a stored secret; None where there is none. Raises `DeliveryError` secret_unreadable."""
    stored = DestinationSecret.objects.filter(destination=destination, kind=kind).first()
    return None if stored is None else _open(stored)


def rotate(stored: DestinationSecret) -> bool:
    """Seal a secret anew under the first key; return whether that was needed."""
    if is_under_first_key(stored.sealed):
        return False
    stored.sealed = seal(_place(stored.destination, stored.kind), _open(stored))
    stored.save(update_fields=["sealed"])
    return True


def _open(stored: DestinationSecret) -> str:
    try:
        return unseal(_place(stored.destination, stored.kind), stored.sealed)
    except Unreadable as error:
        raise DeliveryError("secret_unreadable") from error


def _place(destination: Destination, kind: str) -> bytes:
    return f"{destination.advertiser_id}:{destination.pk}:{kind}".encode()
