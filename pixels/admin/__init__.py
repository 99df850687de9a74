"""The pixels' pages in the admin."""

from pixels.admin import segments
from pixels.admin.pixel import PixelAdmin

__all__ = ["PixelAdmin", "segments"]
