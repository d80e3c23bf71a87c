"""Registering the webhook, and probes that tell what is wrong."""

import pytest

from connectors.abilities import (
    Component,
)
from tests.support.twilio import NUMBER, Bench

HOOK = "https://shop.example.org/webhooks/shop"


@pytest.mark.parametrize("kind", ["sms", "whatsapp"])
async def test_the_webhook_is_set_and_seen(bench: Bench, kind: str) -> None:
    _, client = bench.sms() if kind == "sms" else bench.whatsapp()
    before = await client.probe(HOOK)
    assert [(finding.component, finding.ok) for finding in before] == [
        (Component.AUTH, True),
        (Component.OUTBOUND, True),
        (Component.WEBHOOK, False),
    ]
    assert before[-1].remedy
    words = await client.provision(HOOK)
    assert "is active" in words
    assert f"Webhook {HOOK} set" in words
    hook = bench.place.hooks[NUMBER if kind == "sms" else f"whatsapp:{NUMBER}"]
    assert (hook.url, hook.fallback) == (HOOK, HOOK), "Twilio then tries a second time"
    assert all(finding.ok and not finding.remedy for finding in await client.probe(HOOK))
    hook.url = f"{HOOK}#rc=3&rp=all"
    assert all(finding.ok for finding in await client.probe(HOOK))


@pytest.mark.parametrize("kind", ["sms", "whatsapp"])
async def test_the_webhook_of_a_messaging_service(bench: Bench, kind: str) -> None:
    service = {"number": "", "messaging_service_sid": bench.place.service.sid}
    _, client = bench.sms(**service) if kind == "sms" else bench.whatsapp(**service)
    assert not (await client.probe(HOOK))[-1].ok
    assert "set for the messaging service" in await client.provision(HOOK)
    assert (bench.place.service.url, bench.place.service.status_callback) == (HOOK, HOOK)
    assert all(finding.ok for finding in await client.probe(HOOK))


async def test_a_probe_tells_what_is_wrong_and_how_to_mend_it(bench: Bench) -> None:
    _, wrong = bench.sms(auth_token="canary-wrong-token")
    (finding,) = await wrong.probe(HOOK)
    assert (finding.component, finding.ok) == (Component.AUTH, False)
    assert "auth_token" in finding.remedy
    assert "canary" not in str(finding)
    assert "does not give the account" in await wrong.provision(HOOK)
    _, other = bench.sms(number="+15005550009")
    assert "no number +15005550009" in (await other.probe(HOOK))[-1].detail
    assert "no number +15005550009" in await other.provision(HOOK)
    _, elsewhere = bench.whatsapp(number="+15005550009")
    assert "no sender" in (await elsewhere.probe(HOOK))[-1].detail
    assert "no WhatsApp sender" in await elsewhere.provision(HOOK)
    bench.place.account_status = "suspended"
    _, client = bench.sms()
    assert (await client.probe(HOOK))[0].ok is False
    _, away = bench.sms(api_base="http://127.0.0.1:9")
    (finding,) = await away.probe(HOOK)
    assert (finding.component, finding.ok) == (Component.OUTBOUND, False)
    await bench.phone.fault("500", on="numbers")
    assert (await client.probe(HOOK))[-1].component is Component.WEBHOOK
