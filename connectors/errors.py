"""What can go wrong at the border to a provider.

    ConnectorError
    ├── BadPayload        the body is authentic but not readable: quarantined
    ├── Inexpressible     the channel cannot carry what an agent wants to say: refused before sending
    └── UnknownConnector  no connector of that kind is installed

A failed *sending* is no exception but data: ``contract.Failure`` with one of the kinds below, so that the outbox decides
what to do without knowing any channel.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class ConnectorError(Exception):
    """Base of all errors raised by connectors."""


class BadPayload(ConnectorError):
    """The payload cannot be read; the message names the field and what was wrong with it."""


class Inexpressible(ConnectorError):
    """The channel cannot carry this part; the message says what and which limit, in words for the agent."""


class UnknownConnector(ConnectorError):
    """No connector of that kind is installed; the message lists those that are."""


class FailureKind(StrEnum):
    """The closed set of reasons why a sending failed."""

    #: The provider says that it did not process the request, or could not be reached at all.
    TRANSIENT = "transient"
    #: Too many requests; says when to come back.
    THROTTLED = "throttled"
    #: The request was written, and no usable answer came back.
    UNKNOWN = "unknown"
    #: The provider refuses the request as it is.
    INVALID = "invalid"
    #: The address does not exist or cannot receive.
    RECIPIENT = "recipient"
    #: The person does not want our messages.
    OPTED_OUT = "opted_out"
    #: The channel's reply window is closed.
    WINDOW = "window"
    #: Our credentials are refused.
    AUTH = "auth"
    #: Our account is suspended, unpaid or restricted.
    ACCOUNT = "account"
    #: A setting of the channel is wrong.
    CONFIG = "config"
    #: The address has changed; the new one is in ``moved_to``.
    MOVED = "moved"


class Handling(NamedTuple):
    """What the outbox does about a failure."""

    #: Try again by itself?
    retry: bool
    #: Stop the whole channel until an operator looks?
    pause_channel: bool
    #: What the agent reads; the provider's own words follow it.
    agent_text: str


HANDLING: Final[dict[FailureKind, Handling]] = {
    FailureKind.TRANSIENT: Handling(retry=True, pause_channel=False, agent_text="The provider has a problem; we try again."),
    FailureKind.THROTTLED: Handling(retry=True, pause_channel=False, agent_text="The provider asks us to slow down; we try again."),
    FailureKind.UNKNOWN: Handling(
        retry=True, pause_channel=False, agent_text="The provider did not answer; the message may have been sent."
    ),
    FailureKind.INVALID: Handling(retry=False, pause_channel=False, agent_text="The provider refused this message."),
    FailureKind.RECIPIENT: Handling(retry=False, pause_channel=False, agent_text="This address cannot receive messages."),
    FailureKind.OPTED_OUT: Handling(retry=False, pause_channel=False, agent_text="This person does not want messages from us."),
    FailureKind.WINDOW: Handling(retry=False, pause_channel=False, agent_text="The time for a reply on this channel is over."),
    FailureKind.AUTH: Handling(
        retry=True, pause_channel=True, agent_text="The channel's credentials are refused; an operator has to look."
    ),
    FailureKind.ACCOUNT: Handling(
        retry=True, pause_channel=True, agent_text="The channel's account is restricted; an operator has to look."
    ),
    FailureKind.CONFIG: Handling(
        retry=True, pause_channel=True, agent_text="The channel is not configured correctly; an operator has to look."
    ),
    FailureKind.MOVED: Handling(retry=True, pause_channel=False, agent_text="The address has changed; we send to the new one."),
}
