"""C09, C10, C11: what ``render`` makes of messages, and ``read_reply`` of answers."""

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

import msgspec

from connectors.capabilities import Limits
from connectors.compose import compose
from connectors.content import AnyPart, Choice, Choices, ContactCard, Envelope, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Failure, Outbound, Reply, Sent
from connectors.errors import FailureKind, Inexpressible
from connectors.text import length
from gateway.kit import wild
from gateway.kit.bench import HELLO, Bench
from gateway.kit.check_reading import difference
from gateway.kit.findings import Findings, crash_of

_COMPOSE: Final = "Send exactly the messages that connectors.compose.compose gives, one Call each, with part = its index."
_KINDS: Final = "👩‍👩‍👧‍👦", "🇮🇹", "é", "e\u0301", "Z\u0351\u036b\u0343\u036a", "שלום ", "مرحبا ", "word ", "x", "\u200b", "😀", "a\n\n", "1️⃣"
#: For a channel without a limit.
_LONG: Final = 5_000


def texts(bench: Bench, to: Findings) -> None:
    """C09."""
    if "text" not in bench.able.sends:
        to.exempt("the channel sends no text")
        return
    carried = _carries_words(bench)
    if not carried:
        to.exempt("the calls do not hold the words: nothing leaves the house, and what would have to be changed is refused")
    limits = bench.able.limits
    for text in _texts(limits):
        message = bench.message(Text(text=text))
        wanted = compose(message.parts, bench.able).messages if text.strip() else ()
        if not carried and isinstance(bench.try_render(message), Inexpressible) and compose(message.parts, bench.able).notes:
            continue
        calls = _calls(bench, to, message, f"a text of {len(text):,} characters ({text[:12]!r}…)")
        if calls is None:
            continue
        what = f"a text of {len(text):,} characters ({text[:12]!r}…)"
        if (
            to.expect(len(calls) == len(wanted), f"{what} gives {len(calls)} calls, not {len(wanted)}", _COMPOSE, bench.connector.render)
            and carried
        ):
            _whole(bench, to, what, calls, wanted)
    for blank in (" ", "\n\t ", "\u2003"):
        found = bench.try_render(bench.message(Text(text=blank)))
        right = isinstance(found, Inexpressible)
        to.expect(right, f"a text of nothing but {blank!r} is sent", "Raise Inexpressible: compose does.", bench.connector.render)


def _texts(limits: Limits) -> Iterator[str]:
    limit = limits.text or _LONG
    for kind in _KINDS:
        size = max(1, length(kind, limits.unit))
        for target in {limit - 1, limit, limit + 1, 3 * limit}:
            text = kind * (target // size)
            if text.strip("\u200b \n"):
                yield text + "x" * (target - length(text, limits.unit))
    words = Random(limit)  # noqa: S311  the same every time
    yield " ".join("".join(words.choices("abcdeé😀", k=words.randrange(1, 14))) for _ in range(10 * limit // 7))
    yield "before\0after"
    yield "  spaces around  "
    yield "<b>&amp;*_`~ %s {0} \\ \" '"


def _whole(bench: Bench, to: Findings, what: str, calls: list[Call], wanted: Sequence[tuple[AnyPart, ...]]) -> None:
    limits = bench.able.limits
    for index, (call, message) in enumerate(zip(calls, wanted, strict=True)):
        words = next((part.text for part in message if isinstance(part, Text)), "")
        holding = [leaf for leaf in leaves(call) if _same(words) in _same(leaf)]
        to.expect(holding, f"{what}: call {index} does not hold its words as they are", _COMPOSE, bench.connector.render)
        for leaf in holding:
            fits = not limits.text or length(leaf, limits.unit) <= limits.text
            to.expect(fits, f"{what}: call {index} has {length(leaf, limits.unit)} {limits.unit.value}", _COMPOSE, bench.connector.render)
        broken = any("\ud800" <= char <= "\udfff" for leaf in leaves(call) for char in leaf)
        to.expect(not broken, f"{what}: call {index} holds half of a character", _COMPOSE, bench.connector.render)


def _same(text: str) -> str:
    """Ends of lines and NUL may be written in the provider's way."""
    return text.replace("\r\n", "\n").replace("\0", "\ufffd").strip()


def _carries_words(bench: Bench) -> bool:
    found = bench.try_render(bench.message(HELLO))
    return (
        isinstance(found, Inexpressible)
        or any(HELLO.text in leaf for call in found for leaf in leaves(call))
        or bench.sample.at is not None
    )


def leaves(call: Call) -> Iterator[str]:
    """Every text in the call's data."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
            document = wild.as_json(value.encode("utf-8", "replace")) if value.startswith(("{", "[")) else None
            if document is not None:
                yield from walk(document)
        elif isinstance(value, dict):
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from walk(inner)

    yield from walk(msgspec.to_builtins([call.json, call.form]))


def _calls(bench: Bench, to: Findings, message: Outbound, what: str) -> list[Call] | None:
    try:
        found = bench.try_render(message)
    except NotImplementedError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        crash = crash_of(error)
        to.expect(
            right=False,
            what=f"{what}: {crash.what}",
            remedy=f"Raise Inexpressible, in words. ({crash.place})",
            place=bench.connector.render,
        )
        return None
    if isinstance(found, Inexpressible):
        to.expect(right=False, what=f"{what} is refused: {found}", remedy=_COMPOSE, place=bench.connector.render)
        return None
    return found


# --- C10 ----------------------------------------------------------------------------------------------------------------


def parts(bench: Bench, to: Findings) -> None:
    """C10."""
    for what, sent in _things(bench):
        _sent_or_refused(bench, to, what, bench.message(*sent))
    for empty in ((), (Choices(text="?", options=()),)):
        found = bench.try_render(Outbound(id="msg_1", to=bench.sample.to, parts=empty))
        to.expect(
            isinstance(found, Inexpressible), "an empty message is sent", "Raise Inexpressible: compose does.", bench.connector.render
        )
    _golden(bench, to)


def _sent_or_refused(bench: Bench, to: Findings, what: str, message: Outbound) -> None:
    """As compose says: so many calls, or refused; never less without a word."""
    render = bench.connector.render
    changed = False
    try:
        composed = compose(message.parts, bench.able)
        wanted, changed = len(composed.messages), bool(composed.notes)
    except Inexpressible:
        wanted = 0
    try:
        found = bench.try_render(message)
    except NotImplementedError:
        raise
    except Exception as error:  # noqa: BLE001
        crash = crash_of(error)
        to.expect(right=False, what=f"{what}: {crash.what}", remedy=f"Raise Inexpressible, in words. ({crash.place})", place=render)
        return
    if isinstance(found, Inexpressible):
        to.expect(str(found).strip(), f"{what} is refused without a word", "Say what cannot be carried, and which limit.", render)
        as_written = changed and not _carries_words(bench)
        to.expect(
            not wanted or as_written,
            f"{what} is refused ({found}), though CAPABILITIES declares it",
            "Send it, or do not declare it.",
            render,
        )
        return
    to.expect(wanted, f"{what} is sent, though CAPABILITIES does not declare it", "Declare it, or raise Inexpressible.", render)
    to.expect(not wanted or len(found) == wanted, f"{what} gives {len(found)} calls, not {wanted}", _COMPOSE, render)
    numbers = [call.part for call in found]
    to.expect(numbers == list(range(len(found))), f"{what}: the calls' parts are {numbers}", _COMPOSE, render)
    if bench.able.limits.bucket_rate:
        to.expect(
            all(call.bucket for call in found), f"{what}: a call without bucket", "The provider counts per chat: name it in bucket.", render
        )
    for part in message.parts:
        if isinstance(part, Media) and bench.sample.at is not None:
            there = any(part.stored in msgspec.json.encode(call).decode() for call in found)
            to.expect(
                there, f"{what}: no call has the file {part.stored}", "Give it as Upload, or its id where the client puts a link.", render
            )


def _things(bench: Bench) -> Iterator[tuple[str, tuple[AnyPart, ...]]]:
    limits = bench.able.limits
    declared = [(rule.kind, mime, rule.max_bytes) for rule in limits.media for mime in rule.mimes or ("application/pdf",)]
    for kind, mime, most in declared:
        for size in (1, most or limits.upload_bytes or 1):
            yield f"{kind.value} {mime} of {size:,} bytes", (_file(kind, mime, size),)
        if most:
            yield f"{kind.value} {mime} of {most + 1:,} bytes", (_file(kind, mime, most + 1),)
    for kind in MediaKind:
        for mime in ("image/png", "video/mp4", "audio/ogg", "application/pdf", "application/x-kit-unknown", "", "IMAGE/PNG; x=y"):
            yield f"{kind.value} {mime or 'of no type'}", (_file(kind, mime, 100),)
            yield f"{kind.value} {mime or 'of no type'} with words", (_file(kind, mime, 100), HELLO)
    if limits.upload_bytes:
        yield "a file that is too large", (_file(MediaKind.FILE, "application/pdf", limits.upload_bytes + 1),)
    for album in limits.albums:
        rows = [_file(rule.kind, (rule.mimes or ("application/pdf",))[0], 100) for rule in album.files]
        for count in (2, album.most, album.most + 1):
            yield f"{count} files of {', '.join(rule.kind.value for rule in album.files)}", tuple((rows * count)[:count])
    place, card = (
        Location(latitude=45.07, longitude=7.68, name="Negozio", address="Via Po 1"),
        ContactCard(name="Ada", phones=("+390110000001",)),
    )
    yield "a place with a name", (place,)
    yield "a place", (Location(latitude=45.07, longitude=7.68),)
    yield "a contact", (card,)
    yield "a template", (Template(name="kit_hello", language="it"),)
    yield "a subject and words", (Envelope(subject="Ordine 1"), HELLO)
    yield "two texts", (HELLO, Text(text="Kit, again."))
    counts = {1, 2, limits.choices, limits.choices + 1, limits.list_choices, limits.list_choices + 1} - {0}
    for count in sorted(counts):
        for size in sorted({5, limits.choice_label or 5, limits.list_label or 5, limits.list_label + 1, limits.choice_label + 1}):
            options = tuple(Choice(f"k{number}", f"{number:05d}".ljust(size, "x")[:size] or "x") for number in range(count))
            yield f"{count} options of {size} characters", (Choices(text="Quale?", options=options),)


def _file(kind: MediaKind, mime: str, size: int) -> Media:
    return Media(kind=kind, ref="med_kit4711", stored="med_kit4711", mime=mime, name="kit.bin", size=size)


def _golden(bench: Bench, to: Findings) -> None:
    covered: set[str] = set()
    render = bench.connector.render
    for case, message in bench.sendings:
        found = bench.try_render(message)
        if case.calls is None or isinstance(found, Inexpressible):
            right = isinstance(found, Inexpressible) and bool(case.refused) and case.refused in str(found)
            got = f"refused: {found}" if isinstance(found, Inexpressible) else "sent"
            to.expect(right, f"{case.name}: {got}, instead of {case.refused or 'calls'}", "Correct it or its case.", render)
            continue
        got_calls = [call_data(call) for call in found]
        to.expect(got_calls == case.calls, f"{case.name}: {difference(case.calls, got_calls, 'calls')}", "Correct it or its case.", render)
        covered |= {str(part.__struct_config__.tag) for part in message.parts}
    missing = sorted(bench.able.sends - covered)
    remedy = "Write a case for each: the message, and its calls."
    to.expect(not missing, f"no outbound case sends {', '.join(missing)}", remedy, "cases")


def call_data(call: Call) -> Any:
    """A call as the cases have it: what is not at its default."""
    plain = Call(method="", url="")
    names = [name for name in call.__struct_fields__ if name in {"method", "url"} or getattr(call, name) != getattr(plain, name)]
    return json.loads(msgspec.json.encode({name: getattr(call, name) for name in names}))


# --- C11 ----------------------------------------------------------------------------------------------------------------

K: Final = FailureKind
_GARBAGE: Final = (b"", b"<html>", b"{}", b"[]", b"null", b'"x"', b"0", b"\xff", b"{", b"[" * 100_000, b'{"id": null}', b'{"id": ""}')
_PLAIN: Final = {400: None, 401: {K.AUTH}, 403: None, 404: None, 409: None, 413: None, 429: {K.THROTTLED}, 503: {K.TRANSIENT, K.UNKNOWN}}
_CORRECT: Final = "Begin with a table of the provider's codes; for the rest use connectors.retry.default_failure."


def outcomes(bench: Bench, to: Findings) -> None:
    """C11."""
    read = bench.connector.read_reply
    if not bench.able.sends:
        to.exempt("the channel sends nothing")
        return
    if not to.expect(bench.hello, "no text gives a call", "Make render send a text.", bench.connector.render):
        return
    _expected(bench, to)
    assert bench.hello is not None
    for written, kinds in ((False, {K.TRANSIENT}), (True, {K.UNKNOWN})):
        allowed = kinds | ({K.TRANSIENT} if bench.able.idempotent else set())
        for body in (b"", b"timeout"):
            found = _read(bench, to, bench.hello, Reply(status=0, body=body, written=written))
            right = isinstance(found, Failure) and found.kind in allowed
            what = f"no answer, {'perhaps' if written else 'surely not'} written: {found}"
            to.expect(right, what, "What may have gone out is UNKNOWN; what surely has not is TRANSIENT.", read)
    if bench.over_http:
        _plain_http(bench, to, bench.hello)
    else:
        to.exempt("statuses of HTTP: the calls are not HTTP")


def _plain_http(bench: Bench, to: Findings, call: Call) -> None:
    read = bench.connector.read_reply
    unsure = {K.UNKNOWN} | ({K.TRANSIENT} if bench.able.idempotent else set())
    for body in _GARBAGE:
        found = _read(bench, to, call, Reply(status=200, body=body))
        right = isinstance(found, Failure) and found.kind in unsure
        to.expect(right, f"200 with {body[:20]!r}: {found}", "Without the provider's id it is UNKNOWN, and never Sent.", read)
    for status, kinds in {**_PLAIN, 500: unsure, 502: unsure, 504: unsure}.items():
        for body in (b"", b"<html>", b"{}"):
            found = _read(bench, to, call, Reply(status=status, body=body, headers={"retry-after": "7"}))
            right = isinstance(found, Failure) and (kinds is None or found.kind in kinds)
            to.expect(right, f"{status} with {body!r}: {found}", _CORRECT, read)
            if status == 429 and isinstance(found, Failure):
                to.expect(found.retry_after == 7.0, f"429 with Retry-After 7: waits {found.retry_after}", _CORRECT, read)
    random = Random(4711)  # noqa: S311
    for _ in range(200):
        reply = Reply(status=random.randrange(1000), body=random.randbytes(random.randrange(60)))
        to.expect(isinstance(_read(bench, to, call, reply), Failure), f"{reply.status} with {reply.body!r}: sent", _CORRECT, read)


def _expected(bench: Bench, to: Findings) -> None:
    read, sent, failed = bench.connector.read_reply, False, False
    for case, reply in bench.answers:
        call = case.its_call() or bench.hello
        assert call is not None
        wanted, found = case.expected(), _read(bench, to, call, reply)
        if isinstance(wanted, Failure) and isinstance(found, Failure) and "detail" not in case.outcome:
            wanted = msgspec.structs.replace(wanted, detail=found.detail)
        to.expect(found == wanted, f"{case.name}: {found} instead of {wanted}", "Correct it or its case.", read)
        sent, failed = sent or isinstance(wanted, Sent), failed or isinstance(wanted, Failure)
        if isinstance(wanted, Sent) and bench.over_http:
            for body in wild.confused(reply.body):
                other = _read(bench, to, call, msgspec.structs.replace(reply, body=body))
                usable = not isinstance(other, Sent) or _is_id(other.provider_id)
                to.expect(usable, f"{case.name} with its answer changed to {body[:80]!r}: {other}", "Sent needs the provider's id.", read)
            refused = _read(bench, to, call, msgspec.structs.replace(reply, status=500))
            to.expect(isinstance(refused, Failure), f"{case.name} with status 500: sent", "Look at the status too.", read)
    to.expect(sent, "no reply case is `sent`", "Write one: what the provider says when it takes a message.", "cases")
    to.expect(failed, "no reply case is a failure", "Write one for each of the provider's codes.", "cases")


def _is_id(text: str) -> bool:
    return bool(text.strip()) and text not in {"None", "null", "True", "{}", "[]"} and not text.startswith(("{", "["))


def _read(bench: Bench, to: Findings, call: Call, reply: Reply) -> Sent | Failure | None:
    try:
        found = bench.outcome(call, reply)
    except NotImplementedError:
        raise
    except Exception as error:  # noqa: BLE001
        crash = crash_of(error)
        what = f"status {reply.status} with {reply.body[:60]!r}: {crash.what}"
        to.expect(right=False, what=what, remedy=f"Any answer has an outcome. ({crash.place})", place=bench.connector.read_reply)
        return None
    if isinstance(found, Sent):
        to.expect(found.provider_id, "Sent without an id", "Without the provider's id it is UNKNOWN.", bench.connector.read_reply)
    return found
