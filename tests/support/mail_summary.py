"""What matters of a parsed mail, as JSON: for the files of expectations."""

from typing import Any

from connectors.content import Envelope, Html, Media, Text, Unsupported
from connectors.email.body import extract
from connectors.email.mime import parse_mime
from connectors.event import MessageReceived
from tests.support.mail import events_of


def summary(raw: bytes) -> dict[str, Any]:
    """Sender, subject, text, looks, files with their bytes, thread."""
    (event,) = events_of(raw)
    if not isinstance(event, MessageReceived):
        return {"type": type(event).__name__}
    found: dict[str, Any] = {
        "sender": str(event.sender.identity),
        "name": event.sender.name,
        "id": event.message_id if not event.message_id.startswith("hash:") else "hash",
        "thread": event.thread,
    }
    if event.references:
        found["references"] = list(event.references) if len(event.references) < 10 else len(event.references)
    if event.automatic:
        found["automatic"] = True
    for part in event.parts:
        match part:
            case Envelope():
                found |= {"subject": part.subject, "to": list(part.to), "remarks": list(part.remarks)}
            case Text():
                found |= {"text": part.text, **({"fold": part.fold} if part.fold else {})}
            case Html():
                found |= {"html": part.html, **({"remote": list(part.remote)} if part.remote else {})}
            case Media():
                fetched = extract(parse_mime(raw), part.ref.rpartition("#")[2], 1_000_000)
                assert len(fetched.data) == part.size
                file = {"kind": part.kind.value, "name": part.name, "mime": part.mime, "data": fetched.data[:40].hex()}
                found.setdefault("files", []).append(file)
            case Unsupported():
                found["unsupported"] = part.kind
    return found
