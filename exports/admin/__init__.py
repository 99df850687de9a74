"""The exports' pages in the admin: destinations, exports and runs."""

from exports.admin import segments
from exports.admin.destination import DestinationAdmin
from exports.admin.export import ExportAdmin
from exports.admin.run import RunAdmin

__all__ = ["DestinationAdmin", "ExportAdmin", "RunAdmin", "segments"]
