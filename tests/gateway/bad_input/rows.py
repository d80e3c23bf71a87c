"""Bad input and the answer it must get, as data. Rows that need more than one request are in ``played``.

Placeholders in paths and bodies: ``{conversation}`` is Ada's and Cleo's, ``{customer}`` is Cleo, ``{returns}`` is Ben's queue.
"""

import gzip
import json
from dataclasses import dataclass, field

from tests.support.gateway import BOT_SECRET

SIGNED = {"X-Telegram-Bot-Api-Secret-Token": BOT_SECRET, "Content-Type": "application/json"}
UNSIGNED = {"Content-Type": "application/json"}
HOOK = "/webhooks/bot"
MESSAGES = "/api/v1/conversations/{conversation}/messages"
QUARANTINED = "payload.quarantined"
RECEIVED = "message.received"


def update(number: int, **message: object) -> bytes:
    """A Telegram update with one message."""
    person = {"id": 4000 + number, "is_bot": False, "first_name": "Bad"}
    chat = {"id": 4000 + number, "type": "private", "first_name": "Bad"}
    body = {"message_id": number, "date": 1700000000, "chat": chat, "from": person, "text": "hi", **message}
    return json.dumps({"update_id": 900000 + number, "message": body}).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request, its answer, and what it may leave behind."""

    row: str
    name: str
    method: str = "POST"
    path: str = HOOK
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: Who sends it: a name of the cast, or empty for a stranger.
    who: str = ""
    status: tuple[int, ...]
    #: The problem's code; empty: not looked at.
    code: str = ""
    #: Events that it adds to the stream; all others are forbidden.
    adds: dict[str, int] = field(default_factory=dict)
    #: Headers that the answer must not have.
    without: tuple[str, ...] = ()


def hook(row: str, name: str, body: bytes, headers: dict[str, str], *status: int, **more: object) -> Case:
    return Case(row=row, name=name, body=body, headers=headers, status=status, **more)  # type: ignore[arg-type]


def api(row: str, name: str, body: bytes, code: str, *status: int, path: str = MESSAGES, who: str = "ada") -> Case:
    return Case(row=row, name=name, path=path, body=body, headers=UNSIGNED, who=who, status=status, code=code)


def get(row: str, name: str, path: str, code: str, *status: int, who: str = "ada", headers: dict[str, str] | None = None) -> Case:
    return Case(row=row, name=name, method="GET", path=path, who=who, headers=headers or {}, status=status, code=code)


_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
_COOKIES = "; ".join(f"c{number}=x" for number in range(800))
_MALFORMED = {
    "truncated": b'{"update_id": 1',
    "empty": b"",
    "trailing": b'{"update_id": 1} x',
    "two documents": b'{"update_id": 1}{"update_id": 2}',
    "NaN": b'{"update_id": NaN}',
    "single quotes": b"{'update_id': 1}",
}
_ODD_TEXT = {"invalid UTF-8": b'{"text":"\xff\xfe"}', "overlong": b'{"text":"\xc0\xaf"}', "UTF-16": '{"text":"a"}'.encode("utf-16")}
_NUMBERS = {"10^400": b"1" + b"0" * 400, "5000 digits": b"9" * 5000, "1e400": b"1e400", "bool": b"true", "float": b"1.5"}

CASES: tuple[Case, ...] = (
    # --- who sent it?
    hook("B1", "missing", update(1), UNSIGNED, 403),
    hook("B1", "empty", update(1), {**UNSIGNED, _SECRET_HEADER: ""}, 403),
    hook("B1", "wrong", update(1), {**UNSIGNED, _SECRET_HEADER: "wrong"}, 403),
    hook("B1", "truncated", update(1), {**UNSIGNED, _SECRET_HEADER: BOT_SECRET[:-1]}, 403),
    hook("B1", "other case", update(1), {**UNSIGNED, _SECRET_HEADER: BOT_SECRET.upper()}, 403),
    hook("B2", "non-ASCII", update(2), {**UNSIGNED, _SECRET_HEADER: "é" + BOT_SECRET}, 403),
    hook("B2", "10 kB", update(2), {**UNSIGNED, _SECRET_HEADER: "x" * 10_000}, 400, 403),
    hook("B2", "comma list", update(2), {**UNSIGNED, _SECRET_HEADER: f"{BOT_SECRET}, {BOT_SECRET}"}, 403),
    hook("B3", "another channel's", update(3), SIGNED, 404, path="/webhooks/web"),
    Case(row="B9", name="secret in the query", path=f"{HOOK}?secret_token={BOT_SECRET}", body=update(9), headers=UNSIGNED, status=(403,)),
    # --- can it be read?
    *(hook("B11", f"signed {name}", body + b" ", SIGNED, 200, adds={QUARANTINED: 1}) for name, body in _MALFORMED.items()),
    *(hook("B11", f"unsigned {name}", body, UNSIGNED, 403) for name, body in _MALFORMED.items()),
    *(api("B11", f"API {name}", body, "", 400, 422) for name, body in _MALFORMED.items()),
    hook("B12", "signed", b"[" * 100_000, SIGNED, 200, adds={QUARANTINED: 1}),
    api("B12", "API lists", b"[" * 100_000, "invalid_body", 400),
    api("B12", "API objects", b'{"a":' * 100_000, "invalid_body", 400),
    hook("B13", "signed: the last wins", update(13).replace(b'"text": "hi"', b'"text": "a", "text": "b"'), SIGNED, 200, adds={RECEIVED: 1}),
    api("B13", "API", b'{"text":"a","text":"b"}', "invalid_body", 400),
    *(hook("B14", f"signed {name}", body, SIGNED, 200, adds={QUARANTINED: 1}) for name, body in _ODD_TEXT.items()),
    *(api("B14", f"API {name}", body, "invalid_body", 400) for name, body in _ODD_TEXT.items()),
    api("B14", "API surrogate", b'{"text":"\\ud800"}', "invalid_body", 400),
    *(
        hook("B16", f"signed {name}", b'{"update_id":' + number + b"}", SIGNED, 200, adds={QUARANTINED: 1})
        for name, number in _NUMBERS.items()
    ),
    *(api("B16", f"API {name}", b'{"text":"a","if_last_pos":' + number + b"}", "invalid_body", 400) for name, number in _NUMBERS.items()),
    hook("B17", "signed", update(17, text={"$gt": ""}), SIGNED, 200, adds={QUARANTINED: 1}),
    hook("B17", "signed list", update(18, text=["a"]), SIGNED, 200, adds={QUARANTINED: 1}),
    api("B17", "API object", b'{"text":{"$gt":""}}', "invalid_body", 400),
    api("B17", "API list", b'{"text":["a"]}', "invalid_body", 400),
    hook("B18", "webhook 1 MiB + 1", b"x" * (1024 * 1024 + 1), SIGNED, 413),
    api("B18", "API 1 MiB + 1", b"x" * (1024 * 1024 + 1), "too_large", 413),
    # --- does the address know it?
    hook("B19", "gzip", gzip.compress(b" " * 2_000_000), {**SIGNED, "Content-Encoding": "gzip"}, 415),
    hook("B19", "gzip twice", gzip.compress(gzip.compress(b" " * 2_000_000)), {**SIGNED, "Content-Encoding": "gzip, gzip"}, 415),
    hook("B19", "deflate", b"x", {**SIGNED, "Content-Encoding": "deflate"}, 400, 415),
    hook("B19", "br", b"x", {**SIGNED, "Content-Encoding": "br"}, 400, 415),
    hook("B23", "a header of 20 kB", update(23), {**SIGNED, "X-Long": "x" * 20_000}, 400, 431),
    *(
        Case(
            row="B19",
            name=f"{path} {encoding}",
            path=path,
            body=body,
            headers={**UNSIGNED, "Content-Encoding": encoding},
            who=who,
            status=(415,),
        )
        for path, who in ((MESSAGES, "ada"), ("/api/v1/media", "ada"))
        for encoding, body in (("gzip", gzip.compress(b" " * 2_000_000)), ("gzip, gzip", gzip.compress(gzip.compress(b" " * 2_000_000))))
    ),
    get(
        "B23",
        "a full jar of cookies",
        "/api/v1/me",
        "",
        401,
        who="",
        headers={"Cookie": "; ".join(f"c{number}=x" for number in range(800))},
    ),
    get("B10", "wrong question", f"{HOOK}?hub.verify_token=wrong&hub.challenge=%3Cscript%3E", "", 403, who=""),
    get("B10", "arrays", f"{HOOK}?hub.verify_token[]=a&hub.verify_token[]=b&hub.challenge[]=1", "", 403, who=""),
    Case(row="B24", name="PUT", method="PUT", body=b"{}", headers=SIGNED, status=(405,)),
    Case(row="B24", name="TRACE", method="TRACE", headers=SIGNED, status=(405,)),
    Case(
        row="B24", name="DELETE a list", method="DELETE", path="/api/v1/conversations", who="ada", status=(405,), code="method_not_allowed"
    ),
    Case(
        row="B24",
        name="text/plain",
        path=MESSAGES,
        body=b'{"text":"a"}',
        headers={"Content-Type": "text/plain"},
        who="ada",
        status=(415,),
        code="unsupported_media_type",
    ),
    Case(
        row="B24",
        name="form",
        path=MESSAGES,
        body=b"text=a",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        who="ada",
        status=(415,),
        code="unsupported_media_type",
    ),
    Case(
        row="B24",
        name="compressed",
        body=b"\x1f\x8b",
        headers={**SIGNED, "Content-Encoding": "gzip"},
        status=(415,),
    ),
    *(
        hook("B25", name, update(25), SIGNED, 404, path=f"/webhooks/{channel}")
        for name, channel in {"unknown": "nobody", "disabled": "off", "upper case": "BOT", "NUL": "bot%00"}.items()
    ),
    # --- the agents' API
    Case(
        row="B78",
        name="role",
        method="PATCH",
        path="/api/v1/me",
        body=b'{"presence":"online","role":"admin"}',
        headers=UNSIGNED,
        who="ada",
        status=(400,),
        code="invalid_body",
    ),
    api("B78", "pos", b'{"text":"a","pos":1}', "invalid_body", 400),
    api("B78", "author", b'{"text":"a","author":{"kind":"customer"}}', "invalid_body", 400),
    api("B78", "stored", b'{"parts":[{"type":"media","kind":"image","ref":"med_1","stored":"med_2"}]}', "invalid_body", 400),
    *(
        get("B79", name, f"/api/v1/conversations?after={cursor}", "bad_cursor", 400)
        for name, cursor in {"tampered": "ff.AAAAAAAAAAAAAAAA", "long": "f" * 6000, "negative": "-1", "plain": "5", "odd": "%00"}.items()
    ),
    get("B79", "feed in the future", "/api/v1/feed?after=-1", "bad_query", 400),
    *(
        get("B80", query, f"/api/v1/conversations?{query}", "bad_query", 400)
        for query in (
            "limit=1000000000",
            "limit=-1",
            "limit=0",
            "limit=1&limit=2",
            "sort=password",
            "filter=1",
            "state='%3B%20DROP",
            "state=open%20OR%201",
        )
    ),
    get("B80", "SQL in a queue is a name of nothing", "/api/v1/conversations?queue=1%20OR%201=1", "", 200),
    *(
        get("B81", name, f"/api/v1/conversations?q={text}", "bad_query", 400)
        for name, text in {"quote": "%22", "near": "NEAR(", "star": "*", "column": "col:", "NUL": "%00", "many": "a%20" * 1000}.items()
    ),
    get("B81", "no search yet", "/api/v1/search?q=%22", "not_found", 404),
    Case(
        row="B83",
        name="300 characters",
        path=MESSAGES,
        body=b'{"text":"a"}',
        headers={**UNSIGNED, "Idempotency-Key": "k" * 300},
        who="ada",
        status=(400,),
        code="bad_idempotency_key",
    ),
    Case(
        row="B83",
        name="spaces",
        path=MESSAGES,
        body=b'{"text":"a"}',
        headers={**UNSIGNED, "Idempotency-Key": "a b"},
        who="ada",
        status=(400,),
        code="bad_idempotency_key",
    ),
    api("B84", "empty", b'{"text":""}', "empty", 422),
    api("B84", "nothing", b"{}", "empty", 422),
    api("B84", "no parts", b'{"parts":[]}', "invalid_body", 400),
    api("B84", "longer than the channel takes", json.dumps({"text": "x" * 10_001}).encode(), "too_long", 422),
    api("B84", "longer than anything", json.dumps({"text": "x" * 65_537}).encode(), "too_long", 422),
    api("B84", "foreign conversation", b'{"text":"a"}', "not_found", 404, who="ben"),
    # --- browsers
    *(
        Case(
            row="B85",
            name=name,
            path=MESSAGES,
            body=b'{"text":"a"}',
            headers={**UNSIGNED, **headers},
            who="ada",
            status=(403,),
            code="csrf",
        )
        for name, headers in {
            "foreign Origin": {"Origin": "https://evil.example"},
            "Origin null": {"Origin": "null"},
            "no Origin": {"Origin": ""},
            "cross-site": {"Sec-Fetch-Site": "cross-site"},
            "same-site": {"Sec-Fetch-Site": "same-site"},
        }.items()
    ),
    Case(
        row="B85",
        name="method override",
        method="GET",
        path="/api/v1/sessions",
        headers={"X-HTTP-Method-Override": "DELETE"},
        who="ada",
        status=(405,),
    ),
    *(
        Case(
            row="B86",
            name=f"chat {name}",
            path="/chat/v1/web/sessions",
            body=b"{}",
            headers={**UNSIGNED, "Origin": origin},
            status=(403,),
            code="bad_origin",
            without=("Access-Control-Allow-Origin",),
        )
        for name, origin in {
            "null": "null",
            "suffix": "https://shop.example.org.evil.com",
            "http": "http://shop.example.org",
            "port": "https://shop.example.org:8443",
            "upper case": "https://SHOP.example.org",
            "star": "*",
            "none": "",
        }.items()
    ),
    Case(
        row="B86",
        name="API",
        method="GET",
        path="/api/v1/me",
        headers={"Origin": "https://shop.example.org"},
        who="ada",
        status=(200,),
        without=("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"),
    ),
    *(
        get("B92", name, f"/api/v1/me?{name}=x", "token_in_url", 400)
        for name in ("token", "access_token", "Api_Key", "session", "ticket", "jwt", "password")
    ),
    get("B92", "by its look", "/api/v1/me?x=gw_abc_def", "token_in_url", 400),
    get("B92", "feed", "/api/v1/feed?token=x", "token_in_url", 400),
    get("B92", "chat", "/chat/v1/web/socket?token=x", "token_in_url", 400),
)
