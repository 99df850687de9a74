"""How the admin looks: what the theme reads from the settings, where no model can be imported yet."""

from django.http import HttpRequest
from django.templatetags.static import static


def style(_: HttpRequest) -> str:
    return static("muster/admin.css")


def script(_: HttpRequest) -> str:
    return static("muster/admin.js")


def icon(_: HttpRequest) -> str:
    return static("muster/icon.svg")


UNFOLD = {
    "SITE_TITLE": "config.menu.site_title",
    "SITE_HEADER": "Muster",
    "SITE_URL": None,
    "SITE_ICON": "config.theme.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "config.theme.icon"}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "STYLES": ["config.theme.style"],
    "SCRIPTS": ["config.theme.script"],
    "DASHBOARD_CALLBACK": "config.dashboard.fill",
    "SIDEBAR": {"navigation": "config.menu.navigation", "show_all_applications": False},
    "COLORS": {
        "primary": {
            "50": "oklch(96.2% .018 272.314)",
            "100": "oklch(93% .034 272.788)",
            "200": "oklch(87% .065 274.039)",
            "300": "oklch(78.5% .115 274.713)",
            "400": "oklch(67.3% .182 276.935)",
            "500": "oklch(58.5% .233 277.117)",
            "600": "oklch(51.1% .262 276.966)",
            "700": "oklch(45.7% .24 277.023)",
            "800": "oklch(39.8% .195 277.366)",
            "900": "oklch(35.9% .144 278.697)",
            "950": "oklch(25.7% .09 281.288)",
        },
    },
}
