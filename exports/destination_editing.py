"""What may be saved of a destination, and the saving itself: its address, its secrets, its state.

`check_…` raises Django's `ValidationError` with a message per field; `save_destination` stores what was checked.
"""

import re
from collections.abc import Mapping

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from exports import addresses, vault
from exports.destinations import login_keys
from exports.destinations.folder import is_sub_folder
from exports.models import Destination, DestinationSecret
from exports.readiness import take_over_test
from exports.reasons import DeliveryError, Refused

Secret = DestinationSecret.Kind
_SERVER_FIELDS = ("host", "port", "username")
_ADDRESS_FIELDS = ("kind", "root", "host", "port", "username", "login", "path")
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def check_destination(destination: Destination) -> None:
    """Refuse an address that cannot be one; who may connect where is checked again at each connection."""
    errors = _folder_errors(destination) if destination.kind == Destination.Kind.FOLDER else _sftp_errors(destination)
    if errors:
        raise ValidationError(errors)


def check_secrets(secrets: Mapping[str, str]) -> None:
    """Refuse a private key that cannot be opened with its passphrase, before anything is stored or connected.

    Raises `ValidationError` at `private_key`.
    """
    if secrets.get(Secret.PRIVATE_KEY):
        try:
            login_keys.check(secrets[Secret.PRIVATE_KEY], secrets.get(Secret.PASSPHRASE))
        except Refused as error:
            raise ValidationError({Secret.PRIVATE_KEY.value: str(error)}) from error


def stored_secrets(destination: Destination) -> dict[str, str]:
    """Return the stored secrets that may be used with the address as it stands in a form, saved or not.

    A password belongs to the server and user it was entered for. With another host, port or user it must be entered
    again, or whoever may edit a destination could have it sent to a server of their own.
    """
    if destination.pk is None:
        return {}
    kinds = [kind for kind in Secret if kind != Secret.PASSWORD or not _is_of_another_server(destination)]
    opened = {kind.value: vault.secret_of(destination, kind) for kind in kinds}
    return {kind: secret for kind, secret in opened.items() if secret}


def save_destination(destination: Destination, *, secrets: Mapping[str, str], saved_by: str) -> None:
    """Save a destination with the secrets that were entered; those left empty stay as they are.

    The password of another server is forgotten, see `stored_secrets`.
    """
    with transaction.atomic():
        if destination.pk and _is_of_another_server(destination) and not secrets.get(Secret.PASSWORD):
            vault.drop_secret(destination, Secret.PASSWORD)
        is_moved = _is_moved(destination) or any(secrets.values())
        destination.save()
        _keep_secrets(destination, secrets, saved_by)
        if is_moved:
            take_over_test(destination)


def make_login_key(destination: Destination, *, made_by: str) -> str:
    """Make a key pair for a destination; return its public half, for the receiver to install."""
    private, public = login_keys.make(comment=f"muster-{destination.pk}")
    with transaction.atomic():
        destination.login, destination.public_key = Destination.Login.KEY, public
        destination.save(update_fields=["login", "public_key"])
        vault.drop_secret(destination, Secret.PASSPHRASE)
        vault.keep_secret(destination, Secret.PRIVATE_KEY, private, set_by=made_by)
        take_over_test(destination)
    return public


def _folder_errors(destination: Destination) -> dict[str, str]:
    errors = {}
    if destination.root not in settings.EXPORT_FOLDERS:
        errors["root"] = "Choose one of the folders that your operator named."
    if not is_sub_folder(destination.path):
        errors["path"] = "Write names of letters, digits, dot, dash and underscore, with / between them."
    return errors


def _sftp_errors(destination: Destination) -> dict[str, str]:
    errors = {}
    if not addresses.is_host(destination.host):
        errors["host"] = "Write a host name such as sftp.example.com, without sftp:// and without a path."
    try:
        addresses.check_port(destination.port)
    except DeliveryError as error:
        errors["port"] = str(error)
    if not destination.username or _NOT_PRINTABLE.search(destination.username):
        errors["username"] = "Write the user that the receiver gave you."
    if _NOT_PRINTABLE.search(destination.path) or ".." in destination.path.split("/"):
        errors["path"] = "Write a folder on the server, for example inbound/segments."
    return errors


def _is_of_another_server(destination: Destination) -> bool:
    before = Destination.objects.filter(pk=destination.pk).values(*_SERVER_FIELDS).first()
    return bool(before != {name: getattr(destination, name) for name in _SERVER_FIELDS})


def _is_moved(destination: Destination) -> bool:
    before = Destination.objects.filter(pk=destination.pk).values(*_ADDRESS_FIELDS).first()
    return bool(before != {name: getattr(destination, name) for name in _ADDRESS_FIELDS})


def _keep_secrets(destination: Destination, secrets: Mapping[str, str], saved_by: str) -> None:
    if secrets.get(Secret.PRIVATE_KEY):
        # The passphrase belongs to the key: without a new one there is none. Nor is the pair ours any more.
        vault.drop_secret(destination, Secret.PASSPHRASE)
        Destination.objects.filter(pk=destination.pk).update(public_key="")
        destination.public_key = ""
    for kind, secret in secrets.items():
        if secret:
            vault.keep_secret(destination, kind, secret, set_by=saved_by)
