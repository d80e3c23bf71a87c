"""What the operator says about one number, or one messaging service, that sends and receives SMS."""

import re
from typing import Annotated, Final

from msgspec import Meta

from connectors.twilio.account import PHONE, TwilioSettings

#: Twilio: 3 to 8 digits; 1 to 11 letters, digits and a few signs, of which one is a letter.
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_WORD: Final = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9 _&+-]{1,11}")
_RCS: Final = re.compile(r"rcs:[A-Za-z0-9_.-]{1,128}")


class Settings(TwilioSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of SMS over Twilio."""

    mms: Annotated[bool, Meta(title="MMS", description="The number sends files (United States, Canada, Australia)")] = False
    media_links: Annotated[bool, Meta(title="Files as links", description="Without MMS, a file is sent as an address behind the text")] = (
        False
    )
    smart_encoding: Annotated[
        bool, Meta(title="Smart encoding", description="Twilio replaces typographic characters by plain ones: fewer segments")
    ] = False
    rcs_agent: Annotated[str, Meta(title="RCS agent", description="rcs:…, if the messaging service has one")] = ""

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        super().__post_init__()
        if self.number and not any(form.fullmatch(self.number) for form in (PHONE, _SHORT_CODE, _WORD)):
            raise ValueError("number must be like +39351000000, a short code, or a sender's name of at most 11 characters")
        if self.rcs_agent and not _RCS.fullmatch(self.rcs_agent):
            raise ValueError("rcs_agent must be rcs: and the agent's name, as the Twilio Console shows it")
