"""The segments' pages in the admin."""

from segments.admin import profile
from segments.admin.segment import SegmentAdmin

__all__ = ["SegmentAdmin", "profile"]
