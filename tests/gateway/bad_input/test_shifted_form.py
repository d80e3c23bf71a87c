"""B7: Twilio signs names and values without anything between them, so a letter may move from one to the other unnoticed."""

from pathlib import Path
from urllib.parse import urlencode

from config import ChannelConfig
from connectors.twilio.simulator.posting import sign
from tests.gateway.bad_input.rows import QUARANTINED, RECEIVED
from tests.support.gateway import gateway_config, running_gateway
from tests.support.twilio import ACCOUNT, NUMBER, TOKEN

FORM = {"AccountSid": ACCOUNT, "Body": "ciao", "From": "+393510000000", "MessageSid": "SM" + "7" * 32, "To": NUMBER}


def shifted(name: str, letters: int = 1) -> dict[str, str]:
    """The same signature, another form."""
    value = FORM[name]
    return {
        (field if field != name else field + value[:letters]): (text if field != name else value[letters:]) for field, text in FORM.items()
    }


async def test_b7_a_shifted_form_is_no_message(tmp_path: Path) -> None:
    settings = {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER, "api_base": "http://127.0.0.1:9"}
    async with running_gateway(gateway_config(tmp_path, {"sms": ChannelConfig(kind="sms", settings=settings)})) as gateway:
        signature = sign(TOKEN, f"{gateway.url}/webhooks/sms", FORM)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}

        async def post(form: dict[str, str]) -> tuple[int, int]:
            """What it left: (messages, quarantined)."""
            assert sign(TOKEN, f"{gateway.url}/webhooks/sms", form) == signature
            assert (await gateway.request("POST", "/webhooks/sms", data=urlencode(form).encode(), headers=headers))[0] == 200
            view = gateway.services.store.view
            return await view(lambda tx: tx.stream.count(RECEIVED)), await view(lambda tx: tx.stream.count(QUARANTINED))

        assert await post(FORM) == (1, 0)
        # Without its sender or its id it is set aside.
        assert await post(shifted("From")) == (1, 1)
        assert await post(shifted("MessageSid")) == (1, 2)
        # With another text, or to nobody, it is the same message again.
        assert await post(shifted("Body")) == (1, 2)
        assert (await post(shifted("To")))[0] == 1
