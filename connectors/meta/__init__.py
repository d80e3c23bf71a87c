"""What all products on Meta's Graph API share: WhatsApp, Messenger, Instagram. No channel by itself.

    webhook   signature over the raw bytes, the handshake, the envelope that holds a thousand things of which one may be broken
    access    the settings that every product has
    failure   Graph's error object, and what the codes common to all products mean
    client    calls with the token in the header, pages of lists, files from Meta's own hosts only

All but ``client`` is pure.
"""

from connectors.meta.access import Access, check_access, graph_url
from connectors.meta.client import Download, GraphClient, accept_media_url
from connectors.meta.failure import COMMON_CODES, GraphError, failure_of, graph_error
from connectors.meta.webhook import (
    SIGNATURE_HEADER,
    Entry,
    Notice,
    decode_json,
    entries,
    fragment_key,
    handshake,
    quarantined,
    unix_time,
    verify,
)

__all__ = [
    "COMMON_CODES",
    "SIGNATURE_HEADER",
    "Access",
    "Download",
    "Entry",
    "GraphClient",
    "GraphError",
    "Notice",
    "accept_media_url",
    "check_access",
    "decode_json",
    "entries",
    "failure_of",
    "fragment_key",
    "graph_error",
    "graph_url",
    "handshake",
    "quarantined",
    "unix_time",
    "verify",
]
