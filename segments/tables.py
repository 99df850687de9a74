"""Where memberships stand: those of profiles and those of accounts, in tables of the same columns.

A statement is written about profiles. About accounts it is the same with the other names.
"""

from audience.models import Account, Profile
from segments.models import AccountMembership, AccountTransition, Membership, Segment, Transition
from segments.rules.tree import Of

ALL: tuple[Of, ...] = ("profile", "account")
MEMBERS: dict[Of, type[Profile] | type[Account]] = {"profile": Profile, "account": Account}
MEMBERSHIPS: dict[Of, type[Membership] | type[AccountMembership]] = {
    "profile": Membership,
    "account": AccountMembership,
}
AnyTransition = Transition | AccountTransition
TRANSITIONS: dict[Of, type[Transition] | type[AccountTransition]] = {
    "profile": Transition,
    "account": AccountTransition,
}

_NAMES = {
    "segments_membership": "segments_accountmembership",
    "segments_transition": "segments_accounttransition",
    "audience_profile": "audience_account",
    "profile_id": "account_id",
}


def of_segment(segment: Segment) -> Of:
    """Return what the members of a segment are."""
    return "account" if segment.of == Segment.Of.ACCOUNT else "profile"


def about(of: Of, statement: str) -> str:
    """Return a statement about memberships of profiles as one about those of profiles, or of accounts."""
    if of == "account":
        for profiles, accounts in _NAMES.items():
            statement = statement.replace(profiles, accounts)
    return statement
