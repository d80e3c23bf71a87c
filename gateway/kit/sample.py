"""What a connector's author says about it beside the cases: ``SAMPLE = Sample(…)`` in ``sample.py``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from msgspec.structs import replace

from connectors.contract import Request

_NOON: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)

#: What may be excused in words, because no capability and no ability tells it.
EXCUSES: Final = MappingProxyType(
    {
        "accounts": "no request names an account: the way it came says whose it is (C06)",
        "own": "the provider never shows us our own messages (C18)",
        "sources": "there are no provider's documents (C01)",
        "statuses": "delivery is reported, but not through `parse` (C13)",
        "unknown_fields": "the sender is ours, and a field that we do not know is its mistake (C07, C08)",
    }
)


def as_it_is(request: Request, settings: Any) -> Request:  # noqa: ARG001  the shape of ``Sample.sign``
    """For a provider that proves itself by nothing that is computed."""
    return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """How a provider's server speaks that is not asked by HTTP but line by line, and speaks first (SMTP)."""

    #: What it says after these lines of ours; after none, its greeting. None: it has got all of the message and would now take it.
    says: Callable[[Sequence[bytes]], bytes | None]
    #: A refusal in these words, whatever was asked.
    refuses: Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """See ``README.md`` for each field. Raises ``ValueError`` for an excuse that there is not."""

    #: As in the channel's section of the configuration.
    settings: Mapping[str, Any]
    #: Changes of the settings, one mapping for each secret that proves a webhook.
    other_secrets: tuple[Mapping[str, Any], ...] = ()
    #: Two threads that a message can go to.
    to: str
    to_another: str
    #: What a request has unless its case says otherwise.
    url: str = "https://gateway.example/webhooks/shop"
    headers: Mapping[str, str] = field(default_factory=dict)
    received_at: datetime = _NOON
    #: Makes a request genuine.
    sign: Callable[[Request, Any], Request] = as_it_is
    #: Does the provider sign the address sometimes with its port?
    signs_port: bool = False
    #: Several bodies as one, if the provider batches.
    merge: Callable[[Sequence[bytes]], bytes] | None = None
    #: Changes of the settings for a provider at (host, port).
    at: Callable[[str, int], Mapping[str, Any]] | None = None
    #: How that provider speaks, if not by HTTP.
    talk: Talk | None = None
    #: Names of payload pairs that show our own messages; and of those in which an unknown field is the content.
    own: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    #: Further modules for C20, beside those of the connector's own package.
    modules: tuple[str, ...] = ()
    #: See :data:`EXCUSES`; the value is the reason.
    exempt: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, why in self.exempt.items():
            if name not in EXCUSES:
                raise ValueError(f"exempt: there is no {name!r}; there are {', '.join(sorted(EXCUSES))}")
            if not why.strip():
                raise ValueError(f"exempt: {name!r} needs a reason in words")


def with_header(request: Request, name: str, value: str) -> Request:
    """The request with one more header."""
    return replace(request, headers={**request.headers, name.lower(): value})


def with_query(request: Request, name: str, value: str) -> Request:
    """The request with one more query parameter, in its address too."""
    query = {**request.query, name: value}
    return replace(request, query=query, url=f"{request.url.partition('?')[0]}?{urlencode(query)}")
