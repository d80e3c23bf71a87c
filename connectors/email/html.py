"""HTML of strangers: made harmless by an allow-list, cut off from the network, and told as plain text.

nh3 keeps the list; this module adds what it does not know: pictures from afar are counted and dropped, pictures of the
mail itself become references to its files.
"""

import re
from html.parser import HTMLParser
from typing import Final

import nh3
from msgspec import Struct

#: Characters of HTML that are read, and that are kept.
MAX_HTML: Final = 1_000_000
MAX_KEPT: Final = 262_144
#: Pictures from afar that can be asked for, and characters of the address of one.
MAX_PICTURES: Final = 50
_ADDRESS_CHARS: Final = 2000
#: Begins the name of one, in the place of its address; a mail that writes this itself is not believed.
REMOTE: Final = "remote"
#: Elements open at once; nobody nests tables deeper, except to hurt.
_MAX_OPEN: Final = 500

_TAGS: Final = frozenset(
    [
        "a",
        "abbr",
        "address",
        "b",
        "bdi",
        "bdo",
        "blockquote",
        "br",
        "caption",
        "center",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "div",
        "dl",
        "dt",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "wbr",
    ]
)
#: No style, class or id: nothing may float over what is ours, or be found by a script under a name.
_ATTRIBUTES: Final = {
    "a": {"href", "title"},
    "img": {"src", "alt", "width", "height"},
    "blockquote": {"cite"},
    "td": {"colspan", "rowspan", "align", "valign"},
    "th": {"colspan", "rowspan", "align", "valign"},
    "ol": {"start"},
    "font": {"color"},
    "*": {"dir", "lang"},
}
_SCHEMES: Final = {"http", "https", "mailto", "tel", "cid"}
#: With their content: their text is not what anybody wrote.
_DROPPED: Final = {
    "script",
    "style",
    "title",
    "noscript",
    "template",
    "iframe",
    "object",
    "svg",
    "math",
    "textarea",
    "select",
    "xmp",
    "noembed",
}
_BLOCKS: Final = frozenset(
    [
        "address",
        "blockquote",
        "br",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "table",
        "tr",
        "ul",
        "caption",
    ],
)
_SPACED: Final = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre"])
_DEPTH: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]{0,4000}?(/?)>")
_VOID: Final = frozenset(["br", "img", "hr", "wbr", "col", "input", "meta", "link", "area", "base", "embed", "source", "track", "param"])
#: Quotes as the programs mark them, before anything is stripped: gmail_quote, Apple and Thunderbird, Outlook's divider, Yahoo.
QUOTE_MARK: Final = "\ue000"
_QUOTES: Final = re.compile(
    r"""<(?:div|blockquote|hr)\b[^<>]{0,2000}(?:\bclass=["'][^"']*\b(?:gmail_quote|gmail_extra|yahoo_quoted|moz-cite-prefix|protonmail_quote|"""
    r"""tutanota_quote|zmail_extra)\b|\btype=["']?cite\b|\bid=["']?(?:x_)?(?:divRplyFwdMsg|appendonsend|stopSpelling|mail-editor-reference-message-container)\b)"""
    r"""[^<>]{0,2000}>""",
    re.IGNORECASE,
)


class CleanHtml(Struct, frozen=True):
    """What may be shown."""

    html: str
    #: The same as text.
    text: str
    #: Pictures and the like that would have been loaded from afar.
    remote: int = 0
    #: Addresses of those pictures that can be asked for; ``<img src="remote:0">`` stands for the first.
    pictures: tuple[str, ...] = ()
    #: Content-IDs of the mail's own pictures that it shows.
    shown: frozenset[str] = frozenset()
    #: Characters of ``text`` before the first quote that the program marked; 0: none, or nothing before it.
    fold: int = 0


def clean_html(source: str) -> CleanHtml:
    """Sanitised HTML and its text. Linear in the length of ``source``; what is longer than ``MAX_HTML`` is cut."""
    source = _shallow(source[:MAX_HTML].replace(QUOTE_MARK, ""))
    marked = _QUOTES.sub(lambda match: QUOTE_MARK + match.group(), source)
    watch = _Watch()
    cleaned = nh3.clean(
        marked,
        tags=set(_TAGS),
        clean_content_tags=_DROPPED,
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=watch.attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    text = html_to_text(cleaned)
    before, mark, _ = text.partition(QUOTE_MARK)
    fold = len(before.rstrip()) if mark and before.strip() else 0
    remote = watch.remote + len(
        re.findall(
            r"(?i)\burl\(\s*[\"']?https?:|<(?:link|iframe|video|audio|embed)\b[^<>]{0,2000}https?:|\bbackground=[\"']?https?:", source
        )
    )
    # What is cut may end within an element: the second pass closes it.
    html = cleaned.replace(QUOTE_MARK, "")
    if len(html) > MAX_KEPT:
        allowed = {tag: set(names) for tag, names in _ATTRIBUTES.items()}
        html = nh3.clean(html[:MAX_KEPT], tags=set(_TAGS), attributes=allowed, url_schemes=_SCHEMES | {REMOTE})
    return CleanHtml(html, text.replace(QUOTE_MARK, "").strip(), remote, tuple(watch.pictures), frozenset(watch.shown), fold)


class _Watch:
    def __init__(self) -> None:
        self.remote = 0
        self.pictures: list[str] = []
        self.shown: set[str] = set()

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """nh3 asks for each attribute that it would keep."""
        if tag == "img" and name == "src":
            if value[:4].lower() == "cid:":
                self.shown.add(value[4:].strip("<>"))
                return value
            if re.match(r"\s*(?:https?:|//)", value, re.IGNORECASE):
                self.remote += 1
                return self._place(value)
            return None
        if tag == "a" and name == "href" and not re.match(r"(?:https?|mailto|tel):", value, re.IGNORECASE):
            return None
        return None if tag == "blockquote" and name == "cite" and not value.startswith("http") else value

    def _place(self, value: str) -> str | None:
        """What stands for a picture from afar: no address of any kind."""
        address = value.strip()
        address = f"https:{address}" if address.startswith("//") else address
        if address in self.pictures:
            return f"{REMOTE}:{self.pictures.index(address)}"
        if len(self.pictures) == MAX_PICTURES or len(address) > _ADDRESS_CHARS or not address.isprintable():
            return None
        self.pictures.append(address)
        return f"{REMOTE}:{len(self.pictures) - 1}"


def _shallow(source: str) -> str:
    """Without the tags beyond ``_MAX_OPEN`` open ones."""
    depth = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal depth
        if match[2].lower() in _VOID or match[3]:
            return match.group()
        if match[1]:
            depth = max(depth - 1, 0)
            return match.group() if depth < _MAX_OPEN else ""
        depth += 1
        return match.group() if depth <= _MAX_OPEN else ""

    return _DEPTH.sub(keep, source) if source.count("<") > _MAX_OPEN else source


def html_to_text(clean: str) -> str:
    """Sanitised HTML as a person would type it."""
    walker = _Walker()
    walker.feed(clean)
    walker.close()
    text = "".join(walker.pieces).replace("\u00a0", " ")
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class _Walker(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._pre = 0
        self._lists: list[int | None] = []
        self._link = ""
        self._link_start = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        match tag:
            case "br":
                self.pieces.append("\n")
            case "hr":
                self._line()
                self.pieces.append("---\n")
            case "td" | "th":
                self.pieces.append(" ")
            case "pre":
                self._pre += 1
                self._line()
            case "ul" | "ol":
                self._line()
                self._lists.append(1 if tag == "ol" else None)
            case "li":
                self._line()
                number = self._lists[-1] if self._lists else None
                self.pieces.append(f"{number}. " if number is not None else "- ")
                if number is not None:
                    self._lists[-1] = number + 1
            case "img":
                self.pieces.append(next((value or "" for name, value in attrs if name == "alt"), ""))
            case "a":
                self._link = next((value or "" for name, value in attrs if name == "href"), "")
                self._link_start = len(self.pieces)
            case _ if tag in _BLOCKS:
                self._line()

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._pre = max(self._pre - 1, 0)
        if tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
        if tag == "a" and self._link:
            said = "".join(self.pieces[self._link_start :]).strip()
            target = self._link.removeprefix("mailto:").removeprefix("tel:")
            if said and target.rstrip("/") not in (said, said.rstrip("/")) and self._link.startswith("http"):
                self.pieces.append(f" <{self._link}>")
            self._link = ""
        if tag in _BLOCKS:
            self._line()
            if tag in _SPACED:
                self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._pre:
            data = re.sub(r"[ \t\r\n\f]+", " ", data)
            if data.startswith(" ") and (not self.pieces or self.pieces[-1].endswith(("\n", " "))):
                data = data[1:]
        if data:
            self.pieces.append(data)

    def _line(self) -> None:
        if self.pieces and not self.pieces[-1].endswith("\n"):
            self.pieces.append("\n")
