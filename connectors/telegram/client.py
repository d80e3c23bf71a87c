"""One bot at work: sends, fetches files, listens by long poll, sets the webhook."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from random import SystemRandom
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
import structlog
from telegram import Bot, InputFile, InputMedia

from connectors.abilities import FetchedMedia, Finding
from connectors.contract import Call, ClientContext, Reply, Request
from connectors.event import AnyEvent
from connectors.http import describe, stored_file, timeout_of
from connectors.telegram.inbound import SECRET_HEADER
from connectors.telegram.outbound import read_reply
from connectors.telegram.parts import TOO_LARGE
from connectors.telegram.payload import ALLOWED_UPDATES
from connectors.telegram.probe import account_finding, webhook_findings
from connectors.telegram.request import BASE, UPLOAD_TIMEOUT, AiohttpRequest, Answered
from connectors.telegram.settings import Settings, accepted_secrets

log = structlog.get_logger(__name__)

#: Seconds: whatever a provider or a proxy asks for, we look again after so long, before Telegram forgets what waits (24 hours).
_LONGEST_ASKED: Final = 600.0
#: The library wants a token; ours is added at the wire, see ``request``.
_NO_TOKEN: Final = "0:kept-elsewhere"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class PollTiming:
    """Seconds of the long poll."""

    #: How long Telegram may keep a question open.
    hold: float = 25.0
    #: First wait after a failure, doubled up to the last.
    first_wait: float = 1.0
    last_wait: float = 60.0


class TelegramClient:
    """Client, Receiver, MediaFetcher, Acknowledger, Linker, Provisioner and Prober of one bot."""

    def __init__(self, settings: Settings, context: ClientContext, timing: PollTiming = PollTiming()) -> None:
        self._settings = settings
        self._context = context
        self._timing = timing
        self._random = SystemRandom()
        self._username = settings.bot_username
        base, token = settings.api_base.rstrip("/"), settings.token.reveal()
        self._files = f"{base}/file/bot{token}"
        hidden = {"setwebhook": {"secret_token": settings.secret_token.reveal()}}
        request = AiohttpRequest(context.session, f"{base}/bot{token}", hidden)
        self._bot = Bot(_NO_TOKEN, base_url=lambda _: BASE, base_file_url=lambda _: BASE, request=request, get_updates_request=request)

    # --- sending --------------------------------------------------------------------------------------------------------

    async def send(self, call: Call) -> Reply:
        """Performs one call."""
        parameters = dict(call.json or {})
        if "media" in parameters:
            # The library takes an album in its own words only.
            parameters["media"] = [InputMedia(one["type"], one["media"], one.get("caption")) for one in parameters["media"]]
        for upload in call.uploads:
            data = await stored_file(self._context, upload.stored)
            if isinstance(data, Reply):
                return data
            file = InputFile(data, filename=upload.name)
            file.mimetype = upload.mime
            parameters[upload.field] = file
        return await self._ask(call.url, parameters)

    async def close(self) -> None:
        """Nothing to do: the session is lent."""

    async def _ask(self, method: str, parameters: dict[str, Any] | None = None, seconds: float | None = None) -> Reply:
        try:
            # Method names are case-insensitive; for its own spelling the library prefers its typed methods, which
            # would turn parameters and answers into objects only for us to turn them back.
            result = await self._bot.do_api_request(method.lower(), api_kwargs=parameters, read_timeout=seconds)
        except Answered as answered:
            return answered.reply
        return Reply(status=200, body=msgspec.json.encode({"ok": True, "result": result}))

    # --- listening --------------------------------------------------------------------------------------------------------

    async def receive(self) -> AsyncIterator[Request]:
        """Updates as if Telegram had posted them. Telegram forgets one only after the caller has come back for the next."""
        secret = accepted_secrets(self._settings)[0].reveal()
        offset: int | None = None
        wait = self._timing.first_wait
        while True:
            reply = await self._poll(offset)
            updates = _result(reply)
            if not _are_updates(updates):
                wait = await self._recover(reply, wait)
                continue
            if wait != self._timing.first_wait:
                self._context.report("receiver", ok=True)
            wait = self._timing.first_wait
            if not updates:
                # All is confirmed. The offset is dropped: after a quiet week the numbers restart, perhaps below it.
                offset = None
            for update in updates:
                yield Request(
                    method="POST",
                    url=f"{self._settings.api_base.rstrip('/')}/getUpdates",
                    headers={SECRET_HEADER: secret, "content-type": "application/json"},
                    body=msgspec.json.encode(update),
                    received_at=datetime.now(UTC),
                )
                offset = update["update_id"] + 1

    async def _poll(self, offset: int | None) -> Reply:
        parameters: dict[str, Any] = {"timeout": int(self._timing.hold), "allowed_updates": list(ALLOWED_UPDATES)}
        if offset is not None:
            parameters["offset"] = offset
        return await self._ask("getUpdates", parameters, seconds=self._timing.hold + 10)

    async def _recover(self, reply: Reply, wait: float) -> float:
        """After a failed poll: clear what we can, wait, and say how long to wait next time."""
        words = _words(reply, self._settings)
        if reply.status == 409 and "webhook" in words.lower():
            log.info("telegram.webhook_removed", channel=self._context.channel, reason="mode is poll")
            await self._ask("deleteWebhook", {"drop_pending_updates": False})
        else:
            log.warning("telegram.poll_failed", channel=self._context.channel, status=reply.status, detail=words)
            self._context.report("receiver", ok=False, code="auth" if reply.status in {401, 404} else "", detail=words)
        asked = min(_retry_after(reply), _LONGEST_ASKED)
        # Jitter, so that many nodes do not come back in step.
        await asyncio.sleep(max(asked, wait * self._random.uniform(0.5, 1.0)))
        return min(wait * 2, self._timing.last_wait)

    # --- files ------------------------------------------------------------------------------------------------------------

    async def fetch_media(self, ref: str, max_bytes: int) -> FetchedMedia:
        """The file behind a ``file_id``. Its address holds the token: it is asked for, used and forgotten here."""
        reply = await self._ask("getFile", {"file_id": ref})
        result = _result(reply)
        path = result.get("file_path") if isinstance(result, dict) else None
        if not isinstance(path, str):
            return _no_file(reply, self._settings)
        if path.startswith("/") or ".." in path.split("/"):
            return FetchedMedia(problem="Telegram gave an address for the file that is not below its own.")
        return await self._download(path, max_bytes)

    async def _download(self, path: str, max_bytes: int) -> FetchedMedia:
        url = f"{self._files}/{quote(path)}"
        try:
            async with self._context.session.get(url, timeout=timeout_of(UPLOAD_TIMEOUT), allow_redirects=False) as answer:
                if answer.status != 200:
                    # The address lives for an hour; the next try asks for a new one.
                    return FetchedMedia(problem=f"Telegram did not give the file (status {answer.status}).", retry=True)
                data = bytearray()
                async for chunk in answer.content.iter_chunked(64 * 1024):
                    data += chunk
                    if len(data) > max_bytes:
                        return FetchedMedia(problem=f"The file is larger than {max_bytes} bytes.")
        except (aiohttp.ClientError, OSError) as error:
            return FetchedMedia(problem=f"The file could not be fetched ({describe(error)}).", retry=True)
        name = PurePosixPath(path).name
        return FetchedMedia(data=bytes(data), mime=mimetypes.guess_type(name)[0] or "", name=name)

    # --- courtesy and set-up ----------------------------------------------------------------------------------------------

    async def acknowledge(self, event: AnyEvent) -> None:
        """Stops the spinner of a pressed button, also of one that meant nothing to us."""
        _, found, query = event.key.partition(":callback:")
        if not found:
            return
        reply = await self._ask("answerCallbackQuery", {"callback_query_id": query})
        if reply.status != 200:
            log.info("telegram.callback_not_answered", channel=self._context.channel, detail=_words(reply, self._settings))

    async def start_link(self, word: str) -> str:
        """As the app opens it: with the button Start, which says ``/start <word>`` (core.telegram.org/bots/features#deep-linking)."""
        if not self._username:
            reply = await self._ask("getMe")
            found = _result(reply)
            if not isinstance(found, dict) or not found.get("username"):
                raise OSError(f"Telegram does not say what the bot is called: {_words(reply, self._settings)}")
            self._username = str(found["username"])
        return f"{self._settings.link_base.rstrip('/')}/{quote(self._username, safe='')}?start={word}"

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        """Is the token right, and do updates come to us? Raises OSError if Telegram cannot be asked now."""
        me = await self._ask("getMe")
        if me.status == 0 or me.status >= 500:
            raise OSError(f"Telegram cannot be asked: {_words(me, self._settings)}")
        account = account_finding(_result(me), _words(me, self._settings))
        if not account.ok:
            return [account]
        info = _result(await self._ask("getWebhookInfo"))
        return [account, *webhook_findings(self._settings, info, webhook_url, datetime.now(UTC).timestamp())]

    async def provision(self, webhook_url: str) -> str:
        """Sets or removes the webhook, and says in lines for people how the bot stands."""
        me = await self._ask("getMe")
        user = _result(me)
        if not isinstance(user, dict):
            return f"Telegram does not accept the bot's token: {_words(me, self._settings)}"
        lines = [f"Bot @{user.get('username', '?')} ({user.get('first_name', '?')})."]
        if self._settings.mode == "poll":
            reply = await self._ask("deleteWebhook", {"drop_pending_updates": False})
            lines.append("Updates are fetched by long poll." if reply.status == 200 else f"No long poll: {_words(reply, self._settings)}")
            return "\n".join(lines)
        reply = await self._ask("setWebhook", {"url": webhook_url, "allowed_updates": list(ALLOWED_UPDATES)})
        lines.append(f"Webhook {webhook_url} set." if reply.status == 200 else f"Webhook refused: {_words(reply, self._settings)}")
        return "\n".join([*lines, *_findings(_result(await self._ask("getWebhookInfo")))])


def _result(reply: Reply) -> Any:
    """``result`` of a good answer; None otherwise."""
    return msgspec.json.decode(reply.body).get("result") if reply.status == 200 and reply.body.startswith(b'{"ok":true') else None


def _are_updates(found: Any) -> bool:
    """Without a number an update could not be confirmed, and would come for ever."""
    return isinstance(found, list) and all(isinstance(item, dict) and isinstance(item.get("update_id"), int) for item in found)


def _words(reply: Reply, settings: Settings) -> str:
    outcome = read_reply(Call(method="POST", url=""), reply, settings)
    return getattr(outcome, "detail", "") or f"status {reply.status}"


def _retry_after(reply: Reply) -> float:
    try:
        return float(msgspec.json.decode(reply.body)["parameters"]["retry_after"])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return 0.0


def _no_file(reply: Reply, settings: Settings) -> FetchedMedia:
    words = _words(reply, settings)
    if reply.status == 400 and "too big" in words.lower():
        return FetchedMedia(problem=TOO_LARGE)
    final = reply.status == 400 and "temporarily" not in words.lower()
    return FetchedMedia(problem=f"Telegram does not give the file: {words}", retry=not final)


def _findings(info: Any) -> list[str]:
    if not isinstance(info, dict):
        return ["The webhook's state could not be read."]
    lines = []
    if pending := info.get("pending_update_count"):
        lines.append(f"{pending} updates are waiting to be delivered.")
    if error := info.get("last_error_message"):
        lines.append(f"Telegram's last delivery failed: {str(error)[:200]}")
    return lines
