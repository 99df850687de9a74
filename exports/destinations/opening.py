"""From a destination's row to an open connection."""

from collections.abc import Callable

from exports import vault
from exports.destinations import host_keys
from exports.destinations.connection import Connection, FolderSettings, SftpSettings, Watcher, ignore_step
from exports.destinations.folder import FolderConnection
from exports.destinations.sftp import SftpConnection
from exports.models import Destination, DestinationSecret

Settings = FolderSettings | SftpSettings
Kind = Destination.Kind
Secret = DestinationSecret.Kind


def settings_of(destination: Destination) -> Settings:
    """Return what is needed to connect, secrets opened; raises `DeliveryError` secret_unreadable."""
    return _SETTINGS[Kind(destination.kind)](destination)


def connect(settings: Settings, watcher: Watcher = ignore_step) -> Connection:
    """Open a connection; `watcher` hears the name of each step as it begins. Raises `DeliveryError`."""
    if isinstance(settings, FolderSettings):
        return FolderConnection(settings, watcher)
    return SftpConnection(settings, watcher)


def _folder(destination: Destination) -> Settings:
    return FolderSettings(root=destination.root, path=destination.path)


def _sftp(destination: Destination) -> Settings:
    pinned = host_keys.pinned_keys(destination)
    is_key = destination.login == Destination.Login.KEY
    return SftpSettings(
        host=destination.host,
        port=destination.port,
        username=destination.username,
        path=destination.path,
        password=None if is_key else vault.secret_of(destination, Secret.PASSWORD),
        private_key=vault.secret_of(destination, Secret.PRIVATE_KEY) if is_key else None,
        passphrase=vault.secret_of(destination, Secret.PASSPHRASE) if is_key else None,
        trusted_keys=tuple(key.public_key for key in pinned),
        confirmed_on=f"{pinned[0].confirmed_at:%-d %B %Y}" if pinned else "",
    )


_SETTINGS: dict[Kind, Callable[[Destination], Settings]] = {Kind.FOLDER: _folder, Kind.SFTP: _sftp}
