"""The keys that an installation makes for itself on its first start."""

import os
import secrets
from pathlib import Path


def installation_key(folder: Path, name: str) -> str:
    """Return the key `name` of this installation: 64 URL-safe letters, made on first use.

    The file has mode 0600. Two processes that start at once get the same key: the file is
    linked into place, and whoever comes second reads the first one's.
    """
    path = folder / "keys" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
