"""Where a person's own words end and the quoted mail begins. Only for display: the whole text is kept.

Answers between the quoted lines are the person's own words: a text with those is never folded. In doubt nothing is folded.
"""

import re
from typing import Final

#: "On … wrote:" in the languages that mail programs speak, on one to three lines that end in a colon.
_WROTE: Final = re.compile(
    r"(?:^On\b.*\bwrote|^Am\b.*\bschrieb\b.*|^Le\b.*\ba écrit|^Il\b.*\bha scritto|^El\b.*\bescribió|^Em\b.*\bescreveu|"
    r"^Op\b.*\b(?:schreef|wrote)\b.*|\bnapisał(?:\(a\)|a)?|^Den\b.*\bskrev\b.*|\bnapsal(?:\(a\)|a)?\b.*|\bпишет|\bнаписала?\b.*|"
    r"\bnapísal\(?a?\)?|\bkirjoitti|\bέγραψε|\byazdı|\ba scris|\bírta|写道|寫道|のメール|님이 작성|\d{4}年.*[>日]|"
    r"[@<].*\bwrote)[ \t]*[::]$",
    re.DOTALL,
)
_ATTRIBUTION_LINES: Final = 3
_ATTRIBUTION_CHARS: Final = 300
#: Lines ending in a colon that are looked at.
_CANDIDATES: Final = 100
_DIVIDER: Final = re.compile(
    r"^[ \t]*(?:-{2,}[ \t]*(?:Original Message|Ursprüngliche Nachricht|Originalnachricht|Message d'origine|Messaggio originale|"
    r"Messaggio inoltrato|Mensaje original|Mensagem original|Oorspronkelijk bericht|Wiadomość oryginalna|Původní zpráva|"
    r"Исходное сообщение|Forwarded message|Weitergeleitete Nachricht|Message transféré|原始邮件|元のメッセージ)[ \t]*-{2,}|_{20,})[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
#: Outlook's block of headers, as plain text: "From:" followed within a few lines by "Sent:" or "Date:".
_HEADERS: Final = re.compile(
    r"^[ \t*]*(?:From|Von|De|Da|Od|Van|От|Från|Fra|Lähettäjä|差出人|发件人)[ \t*]*[::].{1,200}\n(?:.{0,200}\n){0,2}?"
    r"[ \t*]*(?:Sent|Date|Gesendet|Datum|Envoyé|Inviato|Data|Enviado|Enviado el|Wysłano|Odesláno|Verzonden|Отправлено|Дата|Skickat|Sendt|"
    r"Lähetetty|送信日時|发送时间)[ \t*]*[::]",
    re.MULTILINE,
)
_QUOTED_LINE: Final = re.compile(r"^[ \t]*(?:>|>)")
#: Characters that are searched; whoever writes more than this before quoting is shown whole.
_SEARCHED: Final = 65_536


def fold_of(text: str) -> int:
    """Characters of ``text`` that are the person's own; 0 if all are, or if nothing would be left, or if they wrote between quotes."""
    head = text[:_SEARCHED].replace("\r\n", "\n") if "\r\n" in text[:_SEARCHED] else text[:_SEARCHED]
    if len(head) != len(text[:_SEARCHED]):
        return 0
    starts = [match.start() for pattern in (_DIVIDER, _HEADERS) if (match := pattern.search(head)) is not None]
    if (wrote := _attribution(head)) is not None:
        starts.append(wrote)
    if (quoted := _trailing_quote(head)) is not None:
        starts.append(quoted)
    for start in sorted(starts):
        own = text[:start].rstrip()
        if own and not _answers_within(head[start:]):
            return len(own)
    return 0


def _attribution(text: str) -> int | None:
    """Where the first "On … wrote:" begins."""
    lines = text.splitlines(keepends=True)
    ends = [index for index, line in enumerate(lines) if line.rstrip().endswith((":", ":")) and len(line) <= _ATTRIBUTION_CHARS]
    for end in ends[:_CANDIDATES]:
        for first in range(end, max(end - _ATTRIBUTION_LINES, -1), -1):
            if not lines[first].strip():
                break
            said = " ".join(line.strip().lstrip("> ") for line in lines[first : end + 1])
            if len(said) <= _ATTRIBUTION_CHARS and _WROTE.search(said):
                return _before(lines, first, end)
    return None


def _before(lines: list[str], first: int, end: int) -> int:
    """The offset of line ``first``, or of one before it where the sentence began earlier ("On Monday, Ada" on a line of its own)."""
    for earlier in range(first - 1, max(end - _ATTRIBUTION_LINES, -1), -1):
        if not re.match(r"(?:On|Am|Le|Il|El|Em|Op|Den|W dniu|Dne)\b", lines[earlier]):
            break
        first = earlier
    return len("".join(lines[:first]))


def _trailing_quote(text: str) -> int | None:
    """Where the lines marked by ``>`` at the end begin."""
    lines = text.splitlines(keepends=True)
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    start = end
    while start and (_QUOTED_LINE.match(lines[start - 1]) or (not lines[start - 1].strip() and start < end)):
        start -= 1
    while start < end and not lines[start].strip():
        start += 1
    return len("".join(lines[:start])) if start < end else None


def _answers_within(rest: str) -> bool:
    """Are there lines of the person's own after quoted ones? Then they answered point by point."""
    lines = rest.splitlines()
    quoted = [index for index, line in enumerate(lines) if _QUOTED_LINE.match(line)]
    if not quoted:
        return False
    after = [line for line in lines[quoted[0] :] if line.strip() and not _QUOTED_LINE.match(line)]
    return any(
        not re.match(r"^[ \t]*(?:--|__|Sent from|Von meinem|Get Outlook|Inviato da|Enviado desde|Envoyé de)", line) for line in after[:1]
    )
