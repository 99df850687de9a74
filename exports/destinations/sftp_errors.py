"""What a server's refusals and broken connections mean, in the words of the table of reasons."""

from collections.abc import Mapping

import asyncssh

from exports.reasons import DeliveryError

FAILURES = (asyncssh.Error, asyncssh.SFTPError, OSError, TimeoutError, EOFError)
_DENIED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect, asyncssh.SFTPOpUnsupported)
_MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)
_FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
_LOST = (asyncssh.DisconnectError, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, OSError, EOFError)


def told(error: BaseException, facts: Mapping[str, str], *, denied: str = "not_allowed") -> DeliveryError:
    """Return the reason for a failure; `denied` is the reason where a right is missing."""
    if isinstance(error, _DENIED):
        return DeliveryError(denied, **facts)
    if isinstance(error, _MISSING):
        return DeliveryError("folder_missing", **facts)
    if isinstance(error, _FULL):
        return DeliveryError("disk_full")
    if isinstance(error, TimeoutError):
        return DeliveryError("stalled")
    if isinstance(error, _LOST):
        return DeliveryError("connection_lost")
    return DeliveryError("server_busy")
