"""The audience's pages in the admin, and the base that every other room's pages stand on."""

from audience.admin.account import AccountAdmin
from audience.admin.advertiser import AdvertiserAdmin
from audience.admin.profile import ProfileAdmin
from audience.admin.team import TeamAdmin
from audience.admin.token import TokenAdmin
from audience.admin.user import OperatorUserAdmin

__all__ = ["AccountAdmin", "AdvertiserAdmin", "OperatorUserAdmin", "ProfileAdmin", "TeamAdmin", "TokenAdmin"]
