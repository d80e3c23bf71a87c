"""What a channel can carry may depend on its settings, and every reader of it asks the same place."""

from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from config import ChannelConfig, Config
from connectors.capabilities import Capabilities, Limits, MediaRule
from connectors.compose import compose
from connectors.content import Media, MediaKind, Text
from connectors.contract import Call, ClientContext, Outbound
from connectors.errors import Inexpressible
from connectors.matrix import built_in, render_matrix
from connectors.registry import load_connector
from connectors.sms import CONNECTOR as SMS
from gateway.channels import PlannedChannel, plan_channels
from tests.support.messenger import instagram_settings, messenger_settings, raw_settings
from tests.support.twilio import ACCOUNT, NUMBER, TOKEN, sms_settings

JPEG = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/jpeg", name="shoe.jpg", size=1000)
BMP = Media(kind=MediaKind.IMAGE, ref="med_2", mime="image/bmp", name="shoe.bmp", size=600_000)
ZIP = Media(kind=MediaKind.FILE, ref="med_3", mime="application/zip", name="all.zip", size=9)

#: mms, media_links -> how a picture, one that is too large for MMS, and a file that MMS does not know go out; None: not at all.
SMS_TABLE = {
    (True, True): ("MediaUrl", "Body", "Body"),
    (True, False): ("MediaUrl", None, None),
    (False, True): ("Body", "Body", "Body"),
    (False, False): (None, None, None),
}


def sms_calls(part: Media, **changes: Any) -> list[Call]:
    return list(SMS.render(Outbound(id="m", to="+393351234567", parts=(part,)), sms_settings(**changes)))


@pytest.mark.parametrize(("mms", "media_links"), list(SMS_TABLE))
def test_a_picture_goes_as_the_number_can_carry_it(mms: bool, media_links: bool) -> None:  # noqa: FBT001
    settings = sms_settings(mms=mms, media_links=media_links)
    able = SMS.able(settings)
    assert ("media" in able.sends) is (mms or media_links)
    for media, field in zip((JPEG, BMP, ZIP), SMS_TABLE[mms, media_links], strict=True):
        if field is None:
            with pytest.raises(Inexpressible):
                compose((media,), able)
            with pytest.raises(Inexpressible):
                sms_calls(media, mms=mms, media_links=media_links)
            continue
        (call,) = sms_calls(media, mms=mms, media_links=media_links)
        assert [upload.field for upload in call.uploads] == [field]
        told = [note.code for note in compose((media,), able).notes]
        assert told == (["as_link"] if field == "Body" else []), "the agent is told before it is sent"


@pytest.mark.parametrize("kind", ["messenger", "instagram"])
def test_m5_without_the_permission_there_is_one_day(kind: str) -> None:
    """M5: the week is Meta's to grant."""
    connector = load_connector(kind)
    make: Any = messenger_settings if kind == "messenger" else instagram_settings
    assert [window.name for window in connector.able(make()).windows] == ["standard", "human_agent"]
    assert [window.name for window in connector.able(make(human_agent=False)).windows] == ["standard"]


def test_a_connector_without_a_word_about_it_can_always_do_all() -> None:
    telegram = load_connector("telegram")
    assert telegram.capabilities_for is None
    assert telegram.able(None) is telegram.capabilities


def test_the_matrix_says_whose_settings_matter() -> None:
    row = next(line for line in render_matrix(built_in()).splitlines() if "settings may take" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    assert {one.kind for one, cell in zip(built_in(), cells, strict=True) if cell == "yes"} >= {"sms", "messenger", "instagram"}


def planned(kind: str, **settings: Any) -> PlannedChannel:
    config = Config(channels={"shop": ChannelConfig(kind=kind, settings=settings)})
    (found,) = plan_channels(config)
    return found


def test_rules_and_channels_go_by_the_settings() -> None:
    number = {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER}
    assert planned("sms", **number).rules.sends == {"text"}
    assert planned("sms", **number, media_links=True).rules.sends == {"text", "media"}
    week = planned("messenger", **raw_settings("messenger"))
    day = planned("messenger", **raw_settings("messenger"), human_agent=False)
    assert (len(week.rules.windows), len(day.rules.windows)) == (2, 1)


async def test_an_open_channel_goes_by_the_settings() -> None:
    async def read_file(stored: str) -> bytes:
        raise OSError(stored)

    plan = planned("messenger", **raw_settings("messenger"), human_agent=False)
    async with aiohttp.ClientSession() as session:
        channel = plan.open(ClientContext(session=session, channel="shop", read_file=read_file))
        assert channel.capabilities == plan.connector.able(plan.settings) != plan.connector.capabilities


def test_a_link_is_for_what_no_rule_before_it_takes() -> None:
    rules = (MediaRule(kind=MediaKind.IMAGE, mimes=("image/jpeg",), max_bytes=100), MediaRule(kind=MediaKind.IMAGE, link=True))
    able = Capabilities(limits=Limits(text=10, media=rules), sends=frozenset({"text", "media"}), receives=frozenset())
    small, large = replace(JPEG, size=100), replace(JPEG, size=101)
    assert [note.code for note in compose((small, Text(text="hi")), able).notes] == []
    assert [note.code for note in compose((large,), able).notes] == ["as_link"]
