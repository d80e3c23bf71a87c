"""What a mail says: one text, its looks, its files. Pure.

Rules: of alternatives the richest that can be shown safely, and its plain words; text parts one after another are one text
(Apple Mail puts pictures between them); what the HTML shows by ``cid:`` is part of the text; everything else is a file.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from connectors.abilities import FetchedMedia
from connectors.content import AnyPart, Html, Media, MediaKind, Text, Unsupported
from connectors.email.html import MAX_KEPT, CleanHtml, clean_html
from connectors.email.mime import Part, uuencoded, without_uuencoded
from connectors.email.quote import fold_of
from connectors.email.tnef import TnefFile, read_tnef
from connectors.email.words import visible

MAX_TEXT: Final = 65_536
MAX_FILES: Final = 50
MAX_FILE_NAME: Final = 120
_CUT: Final = "\n[…]"
_ENCRYPTED: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_SIGNATURES: Final = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})
_TNEF: Final = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
_EXTENSION: Final = {
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "application/pdf": ".pdf",
    "application/pkcs7-mime": ".p7m",
    "text/html": ".html",
}


class File(Struct, frozen=True, kw_only=True):
    """A file in a mail; ``path`` is how :func:`extract` finds it again."""

    path: str
    name: str
    mime: str
    size: int


class Body(Struct, frozen=True, kw_only=True):
    """What a mail says."""

    text: str = ""
    fold: int = 0
    html: str = ""
    files: tuple[File, ...] = ()
    encrypted: bool = False
    remote: int = 0
    pictures: tuple[str, ...] = ()


class _Found:
    """What was found so far; of a text that is there in both forms, the words stand in ``texts`` and the looks in ``htmls``."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.htmls: list[str] = []
        self.files: list[Part] = []
        self.rich = False
        self.encrypted = False
        #: The cleaned form of ``htmls``, if it is a single one: cleaning is the dearest step.
        self.clean: CleanHtml | None = None

    def add(self, text: str, html: str = "", clean: CleanHtml | None = None) -> None:
        if text.strip() or html.strip():
            self.clean = clean if not self.htmls else None
            self.texts.append(text)
            self.htmls.append(html or f"<p>{escape(text).replace(chr(10), '<br>')}</p>")
            self.rich = self.rich or bool(html)


def read_body(mail: Part) -> Body:
    """All of it; only text and the list of files, whose bytes stay where they are."""
    found = _Found()
    _take(mail, found)
    clean = (found.clean or clean_html("\n".join(found.htmls))) if found.rich else CleanHtml("", "")
    text = "\n".join(one.rstrip() for one in found.texts if one.strip())
    files: list[File] = []
    for part in found.files:
        text = _add_files(part, text, files)
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - len(_CUT)] + _CUT
    fold = (clean.fold if clean.fold and text.startswith(clean.text[: clean.fold]) else 0) or fold_of(text)
    return Body(
        text=text,
        fold=fold if fold < len(text) else 0,
        # Looks that say no more than the words are left out: every agent's page is lighter for it.
        html="" if _plain(clean) else clean.html[:MAX_KEPT],
        files=tuple(files[:MAX_FILES]),
        encrypted=found.encrypted,
        remote=clean.remote,
        pictures=clean.pictures,
    )


def as_parts(body: Body, key: str) -> tuple[AnyPart, ...]:
    """The body as parts of a message; files as references into the stored mail (see :func:`extract`)."""
    parts: list[AnyPart] = []
    if body.text:
        parts.append(Text(text=body.text, fold=body.fold))
    if body.html:
        parts.append(Html(html=body.html, remote=body.pictures))
    parts += (Media(kind=_kind(file), ref=f"raw:{key}#{file.path}", mime=file.mime, name=file.name, size=file.size) for file in body.files)
    if body.encrypted and not body.text:
        parts.append(Unsupported(kind="encrypted"))
    return tuple(parts)


def extract(mail: Part, path: str, max_bytes: int) -> FetchedMedia:
    """The file at ``path`` of a mail."""
    number, _, within = path.partition("!")
    part = next((one for one in mail.walk() if one.path == number), None)
    if part is None:
        return FetchedMedia(problem="the mail has no such file")
    if within:
        inner = next((one for one in _inner(part) if one[0] == within), None)
        if inner is None:
            return FetchedMedia(problem="the mail has no such file")
        file = inner[1]
    else:
        file = TnefFile(_name_of(part), part.content, part.mime)
    if len(file.data) > max_bytes:
        return FetchedMedia(problem=f"the file is larger than {max_bytes} bytes")
    return (
        FetchedMedia(data=file.data, mime=file.mime, name=file_name(file.name)) if file.data else FetchedMedia(problem="the file is empty")
    )


def file_name(name: str) -> str:
    """A name without folders, directions and controls; its end stays, for it says what the file is."""
    clean = visible(re.split(r"[/\\]", name)[-1], 1000).strip(". ")
    return clean if len(clean) <= MAX_FILE_NAME else clean[: MAX_FILE_NAME - 20] + "…" + clean[-19:]


def _take(part: Part, found: _Found) -> None:
    """One node of the tree, and what is below it."""
    mime = part.mime
    if mime in _ENCRYPTED and "signed" not in part.type_parameters.get("smime-type", ""):
        found.encrypted = True
        found.files += part.children or (part,)
    elif mime == "multipart/alternative" and part.children:
        _take_alternative(part.children, found)
    elif part.children:
        for child in part.children:
            _take(child, found)
    elif _is_text(part):
        _take_text(part, found)
    elif mime not in _SIGNATURES and not mime.startswith("multipart/") and (part.body.strip() or part.file_name):
        found.files.append(part)
    elif mime.startswith("multipart/") and part.body.strip():
        # No usable boundary: what is there is shown as it stands.
        found.add(part.decoded())


def _is_text(part: Part) -> bool:
    if part.disposition[0] == "attachment" or part.mime not in {"text/plain", "text/html", "text/enriched", "text/richtext", "text"}:
        return False
    # A named text is a file, unless it stands inline and is nothing but text (some phones name their bodies).
    return not part.file_name or (part.disposition[0] == "inline" and part.mime == "text/plain" and part.path in {"", "1", "1.1"})


def _take_alternative(children: Sequence[Part], found: _Found) -> None:
    """The plain words for reading and searching, the richest form for looking; a calendar's invitation is a file."""
    plain, rich = _Found(), _Found()
    htmls = [child for child in children if any(one.mime == "text/html" and _is_text(one) for one in child.walk())]
    for child in children:
        if htmls and child is htmls[-1]:
            _take(child, rich)
        elif child not in htmls:
            _take(child, plain)
    words = "\n".join(text for text in plain.texts if text.strip()) or "\n".join(rich.texts)
    found.add(words, "\n".join(rich.htmls), rich.clean)
    found.files += [*plain.files, *rich.files]
    found.encrypted = found.encrypted or plain.encrypted or rich.encrypted


def _take_text(part: Part, found: _Found) -> None:
    text = part.decoded()
    if part.mime == "text/html":
        clean = clean_html(text)
        found.add(clean.text, text, clean)
        return
    if part.mime in {"text/enriched", "text/richtext"}:
        text = re.sub(r"<<", "<", re.sub(r"<(?!<)/?[\w-]{1,60}>", "", text))
    elif part.type_parameters.get("format", "").lower() == "flowed":
        text = unflowed(text, delete_space=part.type_parameters.get("delsp", "").lower() == "yes")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "begin " in text and any(True for _ in uuencoded(part.content)):
        text = without_uuencoded(text)
        found.files.append(part)
    found.add(text)


def unflowed(text: str, *, delete_space: bool) -> str:
    """``format=flowed`` (RFC 3676): lines that end in a space go on, within one depth of quoting; ``--␣`` is a signature's line."""
    out: list[str] = []
    open_depth = -1
    for raw in text.replace("\r\n", "\n").split("\n"):
        depth = len(raw) - len(raw.lstrip(">"))
        line = raw[depth:]
        line = line.removeprefix(" ")
        flows = line.endswith(" ") and line != "-- "
        if delete_space and flows:
            line = line[:-1]
        if open_depth == depth and line != "-- ":
            out[-1] += line
        else:
            out.append(">" * depth + (" " if depth else "") + line)
        open_depth = depth if flows else -1
    return "\n".join(out)


def _plain(clean: CleanHtml) -> bool:
    """Does the HTML add nothing to its words?"""
    return not clean.shown and not re.search(r"<(?!/?(?:p|div|br|span|html|body)\b)[a-z]", clean.html, re.IGNORECASE)


def _add_files(part: Part, text: str, files: list[File]) -> str:
    """Appends what is in ``part``; returns ``text``, which a winmail.dat may fill."""
    if len(files) >= MAX_FILES:
        return text
    if part.mime in _TNEF or part.file_name.lower() == "winmail.dat":
        tnef = read_tnef(part.content)
        if tnef is not None:
            files += (
                File(
                    path=f"{part.path}!{index}",
                    name=file_name(one.name) or f"file-{index}",
                    mime=one.mime or _guess(one.name),
                    size=len(one.data),
                )
                for index, one in enumerate(tnef.files, 1)
            )
            return text or tnef.body
    if _is_text(part):
        files += (
            File(path=f"{part.path}!{index}", name=file_name(name) or f"file-{index}", mime=_guess(name), size=len(data))
            for index, (name, data) in enumerate(uuencoded(part.content), 1)
        )
        return text
    files.append(File(path=part.path, name=_name_of(part), mime=part.mime, size=len(part.content)))
    return text


def _inner(part: Part) -> Iterator[tuple[str, TnefFile]]:
    """Files within a part, numbered from 1."""
    tnef = read_tnef(part.content)
    inner = tnef.files if tnef is not None else tuple(TnefFile(name, data) for name, data in uuencoded(part.content))
    for index, one in enumerate(inner, 1):
        yield str(index), replace(one, mime=one.mime or _guess(one.name))


def _name_of(part: Part) -> str:
    given = file_name(part.file_name)
    if given:
        return given
    if part.mime == "message/rfc822":
        subject = re.search(rb"(?im)^subject:[ \t]*([^\r\n]{1,80})", part.content[:65_536])
        given = file_name(subject[1].decode("ascii", "replace")) if subject else ""
    extension = _EXTENSION.get(part.mime, "")
    mark = hashlib.blake2b(part.path.encode(), digest_size=2).hexdigest() if not part.path else part.path
    return f"{given or 'file-' + mark}{extension}"


def _guess(name: str) -> str:
    end = name.lower().rpartition(".")[2]
    return next((mime for mime, extension in _EXTENSION.items() if extension == f".{end}"), "application/octet-stream")


def _kind(file: File) -> MediaKind:
    match file.mime.partition("/")[0]:
        case "image" if file.mime not in {"image/svg+xml", "image/tiff", "image/x-icon"}:
            return MediaKind.IMAGE
        case "video":
            return MediaKind.VIDEO
        case "audio":
            return MediaKind.AUDIO
        case _:
            return MediaKind.FILE
