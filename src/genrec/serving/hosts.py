"""Names of this machine, and what is served to nobody else."""

from __future__ import annotations

from urllib.parse import urlsplit

from genrec.errors import SettingsError
from genrec.settings import ServingSettings

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine, for itself."""


def check_host(settings: ServingSettings) -> None:
    """SettingsError if templates would be taken from other machines."""
    if settings.allow_template_preview and settings.host not in LOCAL:
        raise SettingsError(
            f"--allow-template-preview takes templates from a page: for this machine only, not {settings.host}",
            "leave --host at 127.0.0.1 (an SSH tunnel brings it to another machine), or leave the flag out",
        )


def name_of(address: str) -> str | None:
    """The name in an address without a scheme ("localhost:8000"); None for what has none."""
    try:
        return urlsplit(f"//{address}").hostname
    except ValueError:
        return None
