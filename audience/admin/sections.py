"""What rooms above tell on the pages of the audience: each registers a section, and the page shows them in turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from audience.models import Account, Profile


@dataclass(frozen=True)
class Section:
    """A part of a page. The template finds the context as `told`."""

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)


_of_profiles: list[Callable[[Profile], Section]] = []
_of_accounts: list[Callable[[Account], Section]] = []


def tells_of_profiles(teller: Callable[[Profile], Section]) -> Callable[[Profile], Section]:
    """Register a function that adds a section to a profile's page."""
    _of_profiles.append(teller)
    return teller


def tells_of_accounts(teller: Callable[[Account], Section]) -> Callable[[Account], Section]:
    """Register a function that adds a section to an account's page."""
    _of_accounts.append(teller)
    return teller


def sections_of_profile(profile: Profile) -> list[Section]:
    return [teller(profile) for teller in _of_profiles]


def sections_of_account(account: Account) -> list[Section]:
    return [teller(account) for teller in _of_accounts]
