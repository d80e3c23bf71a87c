"""How a file that we hold is written down, with what is to be announced of it."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from routing.announce import withheld_event
from storage.file import StoredFile, Verdict
from storage.protocol import Transaction
from storage.record import Entry


async def put_file(tx: Transaction, file: StoredFile, now: datetime) -> Sequence[Entry]:
    """Insert or replace; the events are for the caller to append."""
    known = await tx.files.get(file.id)
    if known is not None and known.conversation_id:
        # While a scanner looked at it somebody may have sent it.
        file = structs.replace(file, conversation_id=known.conversation_id)
    await tx.files.put(file)
    news = file.verdict is Verdict.WITHHELD and (known is None or known.verdict is not Verdict.WITHHELD)
    return [withheld_event(file, now)] if news else []
