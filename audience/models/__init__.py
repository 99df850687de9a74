"""Advertisers, their teams, the people and companies they know, and what those did."""

from audience.models.access import ApiCalls, ApiToken, IdentitySecret, WriteKey
from audience.models.advertiser import Advertiser, Role, TeamMembership
from audience.models.attributes import Account, AccountAttribute, AccountMember, Attribute, AttributeName, Touch
from audience.models.fields import HostListField, OriginListField, RedirectHostListField
from audience.models.people import Consent, Event, Identifier, Merge, MessageId, Profile, Weather

__all__ = [
    "Account",
    "AccountAttribute",
    "AccountMember",
    "Advertiser",
    "ApiCalls",
    "ApiToken",
    "Attribute",
    "AttributeName",
    "Consent",
    "Event",
    "HostListField",
    "Identifier",
    "IdentitySecret",
    "Merge",
    "MessageId",
    "OriginListField",
    "Profile",
    "RedirectHostListField",
    "Role",
    "TeamMembership",
    "Touch",
    "Weather",
    "WriteKey",
]
