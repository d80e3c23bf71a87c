"""What Twilio's answers and codes mean."""

import msgspec
import pytest

from connectors.contract import Call, Failure, Reply, Sent
from connectors.errors import FailureKind
from connectors.event import Status, StatusReported
from connectors.sms import CONNECTOR as SMS
from connectors.twilio.codes import KINDS, STATUSES, kind_of
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from tests.support.twilio import ACCOUNT, NUMBER, sms_settings, webhook, whatsapp_settings

K = FailureKind
CALL = Call(method="POST", url="Messages", form={"To": "+15551234567"})

T14 = [
    (20003, K.AUTH),
    (20429, K.THROTTLED),
    (21211, K.RECIPIENT),
    (21614, K.RECIPIENT),
    (21612, K.RECIPIENT),
    (21408, K.RECIPIENT),
    (21606, K.CONFIG),
    (21701, K.CONFIG),
    (21610, K.OPTED_OUT),
    (21611, K.THROTTLED),
    (14107, K.THROTTLED),
    (30001, K.TRANSIENT),
    (30002, K.ACCOUNT),
    (30003, K.RECIPIENT),
    (30005, K.RECIPIENT),
    (30006, K.RECIPIENT),
    (30007, K.INVALID),
    (30008, K.UNKNOWN),
    (30022, K.THROTTLED),
    (30023, K.THROTTLED),
    (30034, K.ACCOUNT),
    (21617, K.INVALID),
    (21623, K.INVALID),
    (11751, K.INVALID),
    (20500, K.UNKNOWN),
    (20503, K.TRANSIENT),
]
TW3 = [
    (63016, K.WINDOW),
    (63018, K.THROTTLED),
    (63017, K.THROTTLED),
    (63024, K.RECIPIENT),
    (63032, K.OPTED_OUT),
    (63014, K.OPTED_OUT),
    (63049, K.INVALID),
    (63051, K.ACCOUNT),
    (63013, K.INVALID),
    (63003, K.RECIPIENT),
    (63005, K.INVALID),
    (63021, K.INVALID),
    (63019, K.INVALID),
    (63027, K.INVALID),
    (63028, K.INVALID),
    (63029, K.INVALID),
    (63020, K.ACCOUNT),
    (63012, K.TRANSIENT),
]


def refusal(code: int, status: int = 400, **headers: str) -> Reply:
    body = msgspec.json.encode({"code": code, "message": "words of Twilio's", "more_info": "…", "status": status})
    return Reply(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(("code", "kind"), T14)
def test_t14_codes_of_answers_and_of_statuses(code: int, kind: FailureKind) -> None:
    found = SMS.read_reply(CALL, refusal(code), sms_settings())
    assert found == Failure(kind=kind, code=str(code), detail="words of Twilio's")
    form = {
        "MessageSid": "SM1",
        "MessageStatus": "undelivered",
        "ErrorCode": str(code),
        "AccountSid": ACCOUNT,
        "From": NUMBER,
        "To": "+15551234567",
    }
    report = SMS.parse(webhook(form), sms_settings())[0]
    assert isinstance(report, StatusReported)
    assert (report.status, report.code, report.failure) == (Status.FAILED, str(code), kind)


@pytest.mark.parametrize(("code", "kind"), TW3)
def test_tw3_codes_of_whatsapp(code: int, kind: FailureKind) -> None:
    found = WHATSAPP.read_reply(CALL, refusal(code), whatsapp_settings())
    assert isinstance(found, Failure)
    assert (found.kind, found.code) == (kind, str(code))
    form = {
        "MessageSid": "SM1",
        "MessageStatus": "failed",
        "ErrorCode": str(code),
        "AccountSid": ACCOUNT,
        "From": f"whatsapp:{NUMBER}",
        "To": "whatsapp:+15551234567",
    }
    report = WHATSAPP.parse(webhook(form), whatsapp_settings())[0]
    assert isinstance(report, StatusReported)
    assert report.failure is kind


def test_the_table_is_large_enough_and_holds_codes() -> None:
    assert len(KINDS) > 100
    assert all(10_000 <= code < 70_052 for code in KINDS)


@pytest.mark.parametrize("code", ["", "x", "21610x", "٢١٦١٠", "9" * 40, "0", "12345"])
def test_unknown_codes_say_nothing(code: str) -> None:
    assert kind_of(code) is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=0), K.UNKNOWN),
        (Reply(status=0, written=False), K.TRANSIENT),
        (Reply(status=200, body=b"<html>"), K.UNKNOWN),
        (Reply(status=201, body=b"{}"), K.UNKNOWN),
        (Reply(status=201, body=b'{"sid":""}'), K.UNKNOWN),
        (Reply(status=201, body=b'{"sid":null,"status":"queued"}'), K.UNKNOWN),
        (Reply(status=302, body=b""), K.CONFIG),
        (Reply(status=401, body=b"no"), K.AUTH),
        (Reply(status=404, body=b"<html>"), K.INVALID),
        (Reply(status=413, body=b""), K.INVALID),
        (Reply(status=429, body=b""), K.THROTTLED),
        (Reply(status=500, body=b""), K.UNKNOWN),
        (Reply(status=502, body=b"<html>"), K.UNKNOWN),
        (Reply(status=503, body=b""), K.TRANSIENT),
        (refusal(20500, 500), K.UNKNOWN),
        (refusal(20503, 503), K.TRANSIENT),
        (refusal(20404, 404), K.CONFIG),
        (refusal(99999, 400), K.INVALID),
        (refusal(99999, 500), K.UNKNOWN),
        (Reply(status=201, body=b'{"sid":"SM1","status":"failed","error_code":30002}'), K.ACCOUNT),
        (Reply(status=201, body=b'{"sid":"SM1","status":"undelivered","error_code":null}'), K.INVALID),
    ],
)
def test_t15_only_a_sid_is_a_success(reply: Reply, kind: FailureKind) -> None:
    """T15: what may have gone out is unknown, and never tried again blindly."""
    found = SMS.read_reply(CALL, reply, sms_settings())
    assert isinstance(found, Failure)
    assert found.kind is kind


def test_a_sid_is_a_success() -> None:
    body = b'{"sid":"SM123","status":"queued","error_code":null,"price":null,"unknown":{"x":1}}'
    assert SMS.read_reply(CALL, Reply(status=201, body=body), sms_settings()) == Sent(provider_id="SM123")


def test_a_wait_is_passed_on() -> None:
    found = SMS.read_reply(CALL, refusal(20429, 429, retry_after="7"), sms_settings())
    assert isinstance(found, Failure)
    assert (found.kind, found.retry_after) == (K.THROTTLED, 7.0)


def test_t13_every_status_of_the_sdk_has_a_meaning() -> None:
    """T13: ``receiving`` and ``received`` are what comes in; all others are in the table."""
    from_sdk = {
        "queued", "sending", "sent", "failed", "delivered", "undelivered", "receiving", "received",
        "accepted", "scheduled", "read", "partially_delivered", "canceled",
    }  # fmt: skip
    assert set(STATUSES) == from_sdk - {"receiving", "received"}
