"""From a destination's row to an open connection."""

from collections.abc import Mapping, Sequence

from exports import vault
from exports.destinations import host_keys
from exports.destinations.connection import Connection, FolderSettings, SftpSettings, Watcher, ignore_step
from exports.destinations.folder import FolderConnection
from exports.destinations.sftp import SftpConnection
from exports.models import Destination, DestinationSecret, HostKey

Settings = FolderSettings | SftpSettings
Kind = Destination.Kind
Secret = DestinationSecret.Kind


def settings_of(destination: Destination) -> Settings:
    """Return what is needed to connect, secrets opened; raises `DeliveryError` secret_unreadable."""
    opened = {kind.value: vault.secret_of(destination, kind) for kind in Secret}
    secrets = {kind: secret for kind, secret in opened.items() if secret}
    return settings_with(destination, secrets, host_keys.pinned_keys(destination))


def connect(settings: Settings, watcher: Watcher = ignore_step) -> Connection:
    """Open a connection; `watcher` hears the name of each step as it begins. Raises `DeliveryError`."""
    if isinstance(settings, FolderSettings):
        return FolderConnection(settings, watcher)
    return SftpConnection(settings, watcher)


def settings_with(destination: Destination, secrets: Mapping[str, str], keys: Sequence[HostKey]) -> Settings:
    """Return what is needed to connect as a form says, saved or not: with these secrets, trusting these host keys."""
    if destination.kind == Kind.FOLDER:
        return FolderSettings(root=destination.root, path=destination.path)
    is_key = destination.login == Destination.Login.KEY
    return SftpSettings(
        host=destination.host,
        port=destination.port,
        username=destination.username,
        path=destination.path,
        password=None if is_key else secrets.get(Secret.PASSWORD),
        private_key=secrets.get(Secret.PRIVATE_KEY) if is_key else None,
        passphrase=secrets.get(Secret.PASSPHRASE) if is_key else None,
        trusted_keys=tuple(key.public_key for key in keys),
        confirmed_on=f"{keys[0].confirmed_at:%-d %B %Y}" if keys else "",
    )
