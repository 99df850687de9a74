"""Private keys to log in with: read, checked before any connection, or made here."""

import asyncssh

from exports.destinations.host_keys import bits_of
from exports.reasons import DeliveryError, Refused

SMALLEST_RSA_BITS = 2048
_TAKEN = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def read(private_key: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Return a private key; raises `DeliveryError` key_unreadable without saying more of it."""
    try:
        return asyncssh.import_private_key(private_key.strip() + "\n", passphrase or None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        raise DeliveryError("key_unreadable") from error


def check(private_key: str, passphrase: str | None) -> None:
    """Refuse a key that cannot be opened or is too weak, in the words of the form."""
    try:
        key = read(private_key, passphrase)
    except DeliveryError as error:
        raise Refused(
            "This private key cannot be opened. Paste all of it, with its first and last line, and the passphrase "
            "if it has one."
        ) from error
    if key.get_algorithm() not in _TAKEN:
        raise Refused("Use an Ed25519, ECDSA or RSA key.")
    if key.get_algorithm() == "ssh-rsa" and bits_of(key) < SMALLEST_RSA_BITS:
        raise Refused(f"This RSA key has {bits_of(key)} bits. Use one of at least {SMALLEST_RSA_BITS}.")


def make(comment: str) -> tuple[str, str]:
    """Return a new Ed25519 key pair: the private half, and the public one for the receiver to install."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    return key.export_private_key("openssh").decode(), key.export_public_key("openssh").decode().strip()
