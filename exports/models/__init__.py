"""Destinations, exports, and what each run of an export did."""

from exports.models.destination import ConnectionTest, Destination, DestinationSecret, HostKey
from exports.models.export import Export, ExportColumn, ExportSegment
from exports.models.run import Run, RunFile, RunTry

__all__ = [
    "ConnectionTest",
    "Destination",
    "DestinationSecret",
    "Export",
    "ExportColumn",
    "ExportSegment",
    "HostKey",
    "Run",
    "RunFile",
    "RunTry",
]
