"""How the words of the environment become values of settings, and which of them do not go together."""

import base64
import hashlib
import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import make_conninfo

from config.keys import installation_key

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
OWN_BROKER = "pgmq://muster"  # the name stands for our own database
SHORTEST_TOKEN = 32
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def base_url(text: str) -> str:
    """Return an address like https://host or http://host:port, without a slash at its end."""
    parts = urlsplit(text.strip().rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise ImproperlyConfigured(f"{text!r} is not an address like https://muster.example.com")
    return f"{parts.scheme}://{parts.netloc}"


def service_url(text: str, name: str) -> str:
    """Return the address of a service that we ask, or nothing; outside of this machine it must be https."""
    parts = urlsplit(text.strip())
    is_local = parts.scheme == "http" and _host(text) in LOCAL_HOSTS
    if text and not (parts.hostname and (parts.scheme == "https" or is_local)):
        raise ImproperlyConfigured(f"{name} is not an address like https://api.example.com/v1")  # it may hold a key
    return text.strip()


def named(items: Iterable[str], separator: str) -> list[tuple[str, str]]:
    """Return ["a:x", "b:y"] as [("a", "x"), ("b", "y")]."""
    pairs = []
    for item in items:
        name, found, value = item.strip().partition(separator)
        if not (name and found and value):
            raise ImproperlyConfigured(f"Expected NAME{separator}VALUE in a list, not an item without it.")
        pairs.append((name, value))
    return pairs


def networks(items: Iterable[str]) -> list[Network]:
    """Return ["10.0.0.0/8", "::1"] as networks."""
    try:
        return [ipaddress.ip_network(item.strip()) for item in items]
    except ValueError as error:
        raise ImproperlyConfigured(f"A list of networks is wrong: {error}") from error


def own_hosts(*urls: str) -> list[str]:
    """Return the hosts of these addresses and the local machine's names."""
    own = [_host(url) for url in urls]
    return [*LOCAL_HOSTS, *(host for host in dict.fromkeys(own) if host not in LOCAL_HOSTS)]


def refuse_half_production(production: bool, urls: Iterable[str], hosts: Iterable[str]) -> None:
    """Refuse plain http in production, and names other than the local machine's outside of it."""
    if production:
        for url in urls:
            if not url.startswith("https://"):
                raise ImproperlyConfigured(f"MUSTER_PRODUCTION needs https addresses, and {url} is not one.")
        return
    foreign = [host for host in (*map(_host, urls), *hosts) if host not in LOCAL_HOSTS]
    if foreign:
        raise ImproperlyConfigured(
            f"The name {foreign[0]!r} needs the production settings: set MUSTER_ADMIN_URL and "
            "MUSTER_PIXEL_URL to their https addresses. Without them Muster answers to this machine's "
            "own names only."
        )


def _host(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def fernet_key(folder: Path, name: str) -> str:
    """Return this installation's Fernet key `name`: 32 bytes from its own key file."""
    digest = hashlib.sha256(installation_key(folder, name).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()


def token(value: str, name: str) -> str:
    """Return a secret that others send us, or nothing; refuse one that can be guessed."""
    if value and len(value) < SHORTEST_TOKEN:
        raise ImproperlyConfigured(f"{name} is too short: use at least {SHORTEST_TOKEN} random letters.")
    return value


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# A worker that stops in the middle of taking a message (its machine sleeps) has it taken away by PostgreSQL: until
# then whoever sends one would wait for it.
BROKER_SESSIONS = "-c idle_in_transaction_session_timeout=3000 -c lock_timeout=10000"


def broker_options(url: str, database: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of Celery's transport for this broker.

    A task that a worker took and did not finish comes again after `visibility_timeout` seconds. A
    task that runs longer comes again too, beside itself: tasks claim rows, and find nothing to do.
    """
    if not url.startswith("pgmq:"):
        # A click waits for the broker: one that hangs must not make it hang. Workers wait for a second at a time.
        return {"visibility_timeout": 120, "socket_connect_timeout": 3, "socket_timeout": 5}
    options: dict[str, Any] = {
        "visibility_timeout": 120,
        "init_extension": False,
        # Waiting inside a statement would hold back vacuum for as long as it waits: look often instead.
        "wait_time_seconds": 0,
        "polling_interval": 0.2,
        "pool_size": 4,
        "pool_timeout": 5,
    }
    if url == OWN_BROKER:
        options["conn_string"] = make_conninfo(conninfo(database), options=BROKER_SESSIONS)
    return options


def conninfo(database: Mapping[str, Any]) -> str:
    """Return the address of one of Django's DATABASES in libpq's form."""
    named_by_django = {
        "HOST": "host",
        "PORT": "port",
        "USER": "user",
        "PASSWORD": "password",
        "NAME": "dbname",
    }
    values = {libpq: database[ours] for ours, libpq in named_by_django.items() if database.get(ours)}
    return make_conninfo("", **{**values, **database.get("OPTIONS", {})})
