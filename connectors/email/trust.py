"""Did the domain in From really send it? Pure.

Only our own server's word counts (RFC 8601), and that of forwarders whom the operator named (ARC, RFC 8617).

A mail may carry any number of ``Authentication-Results`` that its sender wrote. Ours stands above everything that the
sender could write, so only the topmost one is looked at; and our server removes those that strangers signed with its name.
"""

import re
from enum import StrEnum
from typing import Final

from connectors.email.address import domain_of
from connectors.email.mime import Part
from connectors.email.settings import Settings
from connectors.email.words import raw_text

_COMMENT: Final = re.compile(r"\([^()]*\)")
_RESULT: Final = re.compile(r"\s*(?P<method>[a-z0-9-]+)(?:/\d+)?\s*=\s*(?P<verdict>[a-z]+)", re.IGNORECASE)
_PROPERTY: Final = re.compile(r"(?P<type>[a-z]+)\.(?P<name>[a-z0-9.-]+)\s*=\s*\"?(?P<value>[^\s;\"]+)", re.IGNORECASE)


class Trust(StrEnum):
    """What is known about the sender."""

    PROVED = "proved"
    UNPROVED = "unproved"


def sender_trust(mail: Part, sender: str, settings: Settings) -> Trust:
    """Is ``sender`` (a normalised address) proved by somebody whom we believe?"""
    if settings.trust == "all":
        return Trust.PROVED
    if not settings.authserv_ids:
        return Trust.UNPROVED
    verdict = _own_verdict(mail, settings)
    if verdict is None:
        return Trust.UNPROVED
    if _aligned(verdict, domain_of(sender)) or _by_forwarder(mail, verdict, domain_of(sender), settings):
        return Trust.PROVED
    return Trust.UNPROVED


def _own_verdict(mail: Part, settings: Settings) -> str | None:
    """The results in the topmost ``Authentication-Results``, if it is ours; none below it, nor below many hops, can be."""
    ours = {one.lower() for one in settings.authserv_ids}
    hops = 0
    for name, value in mail.headers:
        if name == "received":
            hops += 1
        elif name == "authentication-results":
            id_, results = _split(raw_text(value))
            return results if id_ in ours and hops <= _OWN_HOPS else None
    return None


#: Hops of our own that may stand above our verdict: content filter, list expansion, final delivery.
_OWN_HOPS: Final = 3


def _split(value: str) -> tuple[str, str]:
    """The authserv-id, in lower case, and the rest without comments."""
    plain = value
    for _ in range(5):
        plain, count = _COMMENT.subn(" ", plain)
        if not count:
            break
    head, _, rest = plain.partition(";")
    words = head.split()
    return (words[0].lower() if words else ""), rest


def _aligned(results: str, domain: str) -> bool:
    """``dmarc=pass`` for exactly this From domain. Several dmarc results, or one for another domain, prove nothing."""
    verdicts = []
    for result in results.split(";"):
        match = _RESULT.match(result)
        if match is not None and match["method"].lower() == "dmarc":
            froms = [found["value"].lower().rpartition("@")[2] for found in _PROPERTY.finditer(result) if found["name"].lower() == "from"]
            verdicts.append((match["verdict"].lower(), froms))
    return len(verdicts) == 1 and verdicts[0][0] == "pass" and all(found == domain for found in verdicts[0][1])


def _by_forwarder(mail: Part, verdict: str, domain: str, settings: Settings) -> bool:
    """Our server found the ARC chain whole, its last seal is a trusted forwarder's, and that one had seen DMARC pass."""
    trusted = {one.lower() for one in settings.forwarders}
    passed = any(
        match["method"].lower() == "arc" and match["verdict"].lower() == "pass"
        for result in verdict.split(";")
        if (match := _RESULT.match(result)) is not None
    )
    seals = [(_tag(raw_text(value), "i"), _tag(raw_text(value), "d")) for value in mail.all("arc-seal")]
    numbered = [(int(number), sealer) for number, sealer in seals if number.isascii() and number.isdigit() and len(number) < 3]
    if not trusted or not passed or not numbered:
        return False
    last, sealer = max(numbered)
    if sealer not in trusted:
        return False
    for value in mail.all("arc-authentication-results"):
        text = raw_text(value)
        if _tag(text, "i") == str(last):
            return _aligned(_split(text.partition(";")[2])[1], domain)
    return False


def _tag(value: str, name: str) -> str:
    for piece in value.split(";"):
        key, _, found = piece.partition("=")
        if key.strip().lower() == name:
            return found.strip().lower()
    return ""
