"""Addresses that settings hold, taken apart."""

from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

CLAMD: Final = "clamd"
_CLAMD_PORT: Final = 3310


class ScannerAddress(NamedTuple):
    """Where clamd listens: a host and port, or the path of a Unix socket."""

    host: str
    port: int
    path: str


def scanner_address(url: str) -> ScannerAddress:
    """``clamd://host:port`` or ``clamd:///path``. Raises ValueError, in words for the operator."""
    parts = urlsplit(url)
    if parts.scheme != CLAMD or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("it has to be clamd://host:port, or clamd:///path/of/its.socket")
    if parts.hostname:
        if parts.path not in ("", "/"):
            raise ValueError("it names a host and a path: clamd listens at one of them")
        return ScannerAddress(parts.hostname, parts.port or _CLAMD_PORT, "")
    if parts.netloc or len(parts.path) < 2:
        raise ValueError("it names neither a host nor the path of a socket")
    return ScannerAddress("", 0, unquote(parts.path))


def origin_of(url: str) -> str:
    """``scheme://host[:port]`` of an address, in lower case and without a default port; empty if it has none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" if parts.port in (None, default) else f"{parts.scheme}://{host}:{parts.port}"


def why_no_origin(url: str, own: str) -> str:
    """What keeps ``url`` from being the address of files beside ``own``, the gateway's; empty if nothing does."""
    try:
        origin, parts = origin_of(url), urlsplit(url)
    except ValueError:
        return "it cannot be read as an address"
    if not origin or parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        return "it has to be https://host or https://host:port, and nothing more"
    if not origin.removeprefix("https://").removeprefix("http://").replace("[", "").isascii() or any(char in url for char in " ;,*'\"\\"):
        return "it has a character that no host's name has; write international names as xn--…"
    if origin == origin_of(own):
        return "it is the gateway's own address: files are kept apart by another host"
    if own.startswith("https://") and origin.startswith("http://"):
        return "it has to begin with https://, as server.public_url does: browsers show no pictures from http:// there"
    return ""
