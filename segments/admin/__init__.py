"""The segments' pages in the admin."""

from segments.admin import account, profile
from segments.admin.segment import SegmentAdmin

__all__ = ["SegmentAdmin", "account", "profile"]
