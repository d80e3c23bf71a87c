"""Is it Twilio? Equal to the judgement of Twilio's own SDK, on requests that nobody thought of."""

import hashlib
import warnings
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator, get_signature_algorithm

from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.sms import CONNECTOR
from connectors.twilio.webhook import is_signed, read_form
from tests.support.twilio import ACCOUNT, NUMBER, TOKEN, sms_settings, webhook

SUB = "AC" + "5" * 32
SUB_TOKEN = "canary-sub-account-token"
SETTINGS = sms_settings()

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
forms = st.lists(st.tuples(words, words), max_size=8)
hosts = st.sampled_from(["shop.example.org", "shop.example.org:443", "shop.example.org:8443", "127.0.0.1:8080", "shop.example.org:80"])
schemes = st.sampled_from(["https", "http"])
queries = st.sampled_from(["", "?m=msg_1&p=0", "?", "?a=%20+b&a=2", "?x=%C3%A9"])


class MultiDict(dict[str, list[str]]):
    """What the SDK's validator understands."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getall(self, name: str) -> list[str]:
        return self[name]


def post(body: bytes, url: str, signature: str, kind: str = "application/x-www-form-urlencoded", **more: str) -> Request:
    headers = {"content-type": kind, "x-twilio-signature": signature, **{name.replace("_", "-"): value for name, value in more.items()}}
    return Request(method="POST", url=url, headers=headers, body=body, received_at=datetime(2026, 11, 21, tzinfo=UTC))


@settings(max_examples=300, deadline=None)
@given(forms, hosts, schemes, queries, st.sampled_from(["url", "port", "wrong", "token"]), st.integers(0, 1))
def test_t1_a_form_is_judged_as_the_sdk_judges_it(
    pairs: list[tuple[str, str]], host: str, scheme: str, query: str, signed: str, repeat: int
) -> None:
    """T1: repeated keys, blank values, unknown parameters, any character, with and without port, with the query."""
    pairs = [(name, value) for name, value in pairs if name != "AccountSid"]
    if repeat and pairs:
        pairs = [*pairs, (pairs[0][0], "again"), pairs[0]]
    url = f"{scheme}://{host}/webhooks/shop{query}"
    body = urlencode(pairs).encode()
    read = MultiDict(parse_qsl(body.decode(), keep_blank_values=True))
    sdk = RequestValidator("other" if signed == "token" else TOKEN)
    bare = f"{scheme}://{host.partition(':')[0]}:{443 if scheme == 'https' else 80}/webhooks/shop{query}"
    signature = sdk.compute_signature({"port": bare, "wrong": url + "x"}.get(signed, url), read)
    expected = RequestValidator(TOKEN).validate(url, read, signature)
    assert is_signed(post(body, url, signature), SETTINGS) is expected
    if signed == "url" and query != "?":
        assert expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(words, words, max_size=4), hosts, st.sampled_from(["", "address", "body"]))
def test_t1_a_json_body_is_judged_as_the_sdk_judges_it(content: dict[str, str], host: str, spoilt: str) -> None:
    """T1: the address carries the hash of the body."""
    body = msgspec.json.encode(content)
    digest = hashlib.sha256(body + (b"x" if spoilt == "body" else b"")).hexdigest()
    url = f"https://{host}/webhooks/shop?bodySHA256={digest}"
    signature = RequestValidator(TOKEN).compute_signature(url + ("x" if spoilt == "address" else ""), {})
    expected = RequestValidator(TOKEN).validate(url, body.decode(), signature)
    assert is_signed(post(body, url, signature, "application/json"), SETTINGS) is expected
    assert expected is (not spoilt)


@pytest.mark.parametrize(
    "header", ["", "key=k1,algorithm=HMAC_SHA256", "key=k1,algorithm=HMAC_SHA1", "algorithm=hmac_sha256", "algorithm=MD5"]
)
def test_t1_a_shared_key_signs_with_another_hash(header: str) -> None:
    configured = sms_settings(webhook_shared_key="canary-shared-key-7")
    algorithm = get_signature_algorithm(header)
    secret = "canary-shared-key-7" if algorithm.upper() == "HMAC_SHA256" else TOKEN
    body = b"Body=hi&MessageSid=SM1"
    with warnings.catch_warnings():
        sdk = RequestValidator(secret)
    known = algorithm.upper() in ("HMAC_SHA1", "HMAC_SHA256")
    signature = sdk.compute_signature("https://shop.example.org/w", dict(parse_qsl(body.decode())), algorithm if known else None)
    request = post(body, "https://shop.example.org/w", signature, x_twilio_webhooks_signature_settings=header)
    assert is_signed(request, configured) is known
    # Who may choose the algorithm must not choose one without a secret.
    assert not is_signed(
        post(body, "https://shop.example.org/w", signature, x_twilio_webhooks_signature_settings="algorithm=HMAC_SHA256"), SETTINGS
    )


def signed_by(token: str, form: dict[str, str], url: str = "https://shop.example.org/webhooks/shop") -> Request:
    return post(urlencode(form).encode(), url, RequestValidator(token).compute_signature(url, form))


def test_t1_two_tokens_while_one_is_rotated() -> None:
    form = {"AccountSid": ACCOUNT, "Body": "ciao"}
    rotating = sms_settings(secondary_auth_token="canary-second-token")
    assert is_signed(signed_by(TOKEN, form), rotating)
    assert is_signed(signed_by("canary-second-token", form), rotating)
    assert not is_signed(signed_by("canary-second-token", form), SETTINGS)
    assert not is_signed(signed_by("", form), SETTINGS), "an empty secret signs nothing"


def test_t1_a_sub_account_signs_with_its_own_token_and_for_itself_only() -> None:
    configured = sms_settings(subaccounts={SUB: SUB_TOKEN})
    assert is_signed(signed_by(SUB_TOKEN, {"AccountSid": SUB, "Body": "ciao"}), configured)
    assert not is_signed(signed_by(SUB_TOKEN, {"AccountSid": ACCOUNT, "Body": "ciao"}), configured)
    assert not is_signed(signed_by(SUB_TOKEN, {"AccountSid": SUB, "Body": "ciao"}), SETTINGS)


def test_t1_the_address_is_the_public_one() -> None:
    form = {"Body": "ciao"}
    assert is_signed(signed_by(TOKEN, form), SETTINGS)
    behind = signed_by(TOKEN, form)
    assert not is_signed(msgspec.structs.replace(behind, url="http://10.0.0.7:8080/webhooks/shop"), SETTINGS)


def test_every_changed_byte_is_noticed() -> None:
    request = signed_by(TOKEN, {"Body": "ciao €", "From": "+15551234567", "To": NUMBER})
    for index in range(len(request.body)):
        changed = bytearray(request.body)
        changed[index] ^= 1
        assert not is_signed(msgspec.structs.replace(request, body=bytes(changed)), SETTINGS), index


@pytest.mark.parametrize("headers", [{}, {"x-twilio-signature": ""}, {"x-twilio-signature": "é"}, {"x-twilio-signature": "AAAA"}])
def test_a_missing_or_odd_signature_is_wrong(headers: dict[str, str]) -> None:
    request = Request(method="POST", url="https://x/", headers=headers, body=b"Body=x", received_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert not CONNECTOR.verify(request, SETTINGS)


@pytest.mark.parametrize("url", ["https://shop:port/", "https://[", "", "https://shop:99999/"])
def test_an_address_that_is_none_is_not_signed(url: str) -> None:
    assert not is_signed(post(b"Body=x", url, "AAAA"), SETTINGS)


def test_too_many_fields_are_refused_before_they_cost_anything() -> None:
    body = "&".join(f"a{number}=1" for number in range(600)).encode()
    assert not is_signed(post(body, "https://x/", "AAAA"), SETTINGS)
    with pytest.raises(BadPayload, match="not a form"):
        read_form(webhook(body))


def test_nul_is_replaced_and_the_first_of_repeated_fields_counts() -> None:
    assert read_form(webhook(b"Body=a%00b&Body=second&From=x")) == {"Body": "a\ufffdb", "From": "x"}


def test_a_webhook_by_get_is_read_from_its_address() -> None:
    request = Request(
        method="GET", url="https://x/?Body=ciao&MessageSid=SM1", headers={}, body=b"", received_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert read_form(request) == {"Body": "ciao", "MessageSid": "SM1"}
    signature = RequestValidator(TOKEN).compute_signature(request.url, {})
    assert is_signed(msgspec.structs.replace(request, headers={"x-twilio-signature": signature}), SETTINGS)
