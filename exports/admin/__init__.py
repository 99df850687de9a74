"""The exports' pages in the admin: destinations, exports and runs."""

from exports.admin import segments
from exports.admin.run import RunAdmin

__all__ = ["RunAdmin", "segments"]
