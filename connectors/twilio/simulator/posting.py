"""Twilio's webhooks: forms, signatures, one try and one at the fallback address, and what becomes of the answer."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urldefrag, urlencode

from connectors.simulator import Delivery, Line, Person, Webhooks
from connectors.twilio.simulator.place import WHATSAPP, Place, Sending, make_sid

STOP: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START: Final = frozenset({"START", "YES", "UNSTOP"})
_ANSWERS: Final = {
    "STOP": "You have successfully been unsubscribed. You will not receive any more messages from this number. Reply START to resubscribe.",
    "START": "You have successfully been re-subscribed to messages from this number. Reply HELP for help. Reply STOP to unsubscribe.",
    "HELP": "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
}


def sign(token: str, url: str, form: Mapping[str, str]) -> str:
    """``X-Twilio-Signature``."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class Posting:
    """Posts for one account."""

    def __init__(self, place: Place, webhooks: Webhooks) -> None:
        self._place = place
        self._webhooks = webhooks

    # --- somebody wrote -------------------------------------------------------------------------------------------------

    def wrote(self, person: Person, line: Line, more: Mapping[str, str] | None = None) -> None:
        """Takes a person's message in, and posts it."""
        place, by_whatsapp = self._place, person.id.startswith(WHATSAPP)
        ours = WHATSAPP + place.number if by_whatsapp else place.number
        media = {make_sid("ME", line.id, file): file for file in line.files}
        service = place.service.sid if place.service_posts else ""
        now = place.now()
        message = Sending(
            sid=line.id,
            to=ours,
            from_=person.id,
            body=line.text,
            direction="inbound",
            status="received",
            created=now,
            sent=now,
            media=media,
            service=service,
        )
        place.keep(message)
        place.last_heard[person.id] = now
        word = "" if by_whatsapp and not place.advanced_opt_out else self._opt_out(person, ours, line.text)
        form = {
            "SmsMessageSid": line.id,
            "NumMedia": str(len(media)),
            "SmsSid": line.id,
            "SmsStatus": "received",
            "Body": line.text,
            "To": ours,
            "NumSegments": "1",
            "MessageSid": line.id,
            "AccountSid": place.account_sid,
            "From": person.id,
            "ApiVersion": "2010-04-01",
            **({"MessagingServiceSid": service} if service else {}),
            **({"OptOutType": word} if word and place.advanced_opt_out else {}),
            **(self._of_whatsapp(person, line) if by_whatsapp else {"ToCountry": "US", "FromCountry": "US"}),
            **self._files(message),
            **(more or {}),
        }
        hook = place.service if place.service_posts else place.hooks[ours]
        self._post(hook.url, form, lane=person.id, person=person, fallback=hook.fallback)

    def _files(self, message: Sending) -> dict[str, str]:
        form = {}
        base = f"{self._place.base}/2010-04-01/Accounts/{self._place.account_sid}/Messages/{message.sid}/Media"
        for index, (sid, file) in enumerate(message.media.items()):
            form[f"MediaUrl{index}"] = f"{base}/{sid}"
            form[f"MediaContentType{index}"] = self._place.phone.files[file].mime
        return form

    def _of_whatsapp(self, person: Person, line: Line) -> dict[str, str]:
        form = {"ProfileName": person.name, "WaId": person.id.removeprefix(WHATSAPP).removeprefix("+"), "MessageType": "text"}
        if line.files:
            form["MessageType"] = self._place.phone.files[line.files[0]].mime.partition("/")[0]
        if line.location is not None:
            form |= {"MessageType": "location", "Latitude": str(line.location["latitude"]), "Longitude": str(line.location["longitude"])}
            form |= {name: text for name, text in (("Label", line.location["name"]), ("Address", line.location["address"])) if text}
        if line.reply_to:
            form |= {"OriginalRepliedMessageSid": line.reply_to, "OriginalRepliedMessageSender": WHATSAPP + self._place.number}
        if not person.id.removeprefix(WHATSAPP).startswith("+"):
            form |= {"ExternalUserId": person.id}
        return form

    def _opt_out(self, person: Person, ours: str, text: str) -> str:
        said = text.strip().upper()
        word = "STOP" if said in STOP else "START" if said in START else "HELP" if said in ("HELP", "INFO") else ""
        known = (ours, person.id) in self._place.stopped
        if word == "STOP":
            self._place.stopped.add((ours, person.id))
        elif word == "START" and known:
            self._place.stopped.discard((ours, person.id))
        elif word == "START":
            word = ""
        if word:
            self.appear(person, _ANSWERS[word])
        return word

    def appear(self, person: Person, text: str) -> None:
        """Words on the phone that the shop did not send through the REST interface."""
        line = Line(id=self._place.next_sid("SM"), person=person.id, from_shop=True, at=self._place.now(), text=text, status="delivered")
        line.extra["by"] = "twilio"
        self._place.phone.add_line(line, promised=False)

    # --- a message has come further ---------------------------------------------------------------------------------------

    def report(self, message: Sending, status: str) -> None:
        """Posts a status, if somebody wants to know."""
        message.status = status
        if status in ("sent", "delivered") and message.sent is None:
            message.sent = self._place.now()
        url = message.callback or (self._place.service.status_callback if message.service else "")
        if not url:
            return
        form = {
            "SmsSid": message.sid,
            "SmsStatus": status,
            "MessageStatus": status,
            "To": message.to,
            "MessageSid": message.sid,
            "AccountSid": self._place.account_sid,
            "From": message.from_,
            "ApiVersion": "2010-04-01",
        }
        if message.service:
            form["MessagingServiceSid"] = message.service
        if message.to.startswith(WHATSAPP):
            form |= {"ChannelPrefix": "whatsapp", "ChannelToAddress": message.to}
            if status in ("delivered", "read"):
                form["EventType"] = status.upper()
        elif status in ("delivered", "undelivered"):
            form["RawDlrDoneDate"] = "2611211200"
        if message.error_code:
            form |= {"ErrorCode": str(message.error_code), "ErrorMessage": f"error {message.error_code}"}
        self._post(url, form, lane=f"status {message.sid}")

    # --- both -----------------------------------------------------------------------------------------------------------

    def _post(self, url: str, form: Mapping[str, str], *, lane: str, person: Person | None = None, fallback: str = "") -> None:
        if not url:
            return
        bare = urldefrag(url).url

        async def answered(status: int, body: bytes, kind: str) -> None:
            if not 200 <= status < 300:
                self._place.debugger.append(11200)
                if fallback:
                    self._post(fallback, {**form, "ErrorCode": "11200", "ErrorUrl": bare}, lane=lane, person=person)
            elif person is not None:
                self._obey(person, status, body, kind)

        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": sign(self._place.auth_token, bare, form),
            "I-Twilio-Idempotency-Token": make_sid("", lane, *form.values()),
            "User-Agent": "TwilioProxy/1.1",
        }
        self._webhooks.post(Delivery(url=bare, body=urlencode(form).encode(), headers=headers, lane=lane, typed=answered))

    def _obey(self, person: Person, status: int, body: bytes, kind: str) -> None:
        """What is answered to a person's message is an instruction: plain text goes to their phone."""
        text = body.decode("utf-8", "replace").strip()
        if status == 204 or not text:
            return
        if kind == "text/plain":
            self.appear(person, text)
        elif kind not in ("text/xml", "application/xml", "text/html"):
            self._place.debugger.append(12300)
        elif "<Message" in text:
            self.appear(person, text.partition(">")[2])

    async def settled(self) -> None:
        """Waits until all that was posted is taken or given up."""
        while self._webhooks.waiting:  # noqa: ASYNC110  the deliveries have no event
            await asyncio.sleep(0.005)
