"""The pixels' pages in the admin."""

from pixels.admin import segments
from pixels.admin.partners import PartnerAdmin
from pixels.admin.pixel import PixelAdmin
from pixels.admin.secrets import IdentitySecretAdmin
from pixels.admin.writekeys import WriteKeyAdmin

__all__ = ["IdentitySecretAdmin", "PartnerAdmin", "PixelAdmin", "WriteKeyAdmin", "segments"]
