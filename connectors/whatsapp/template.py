"""Templates: ours as Meta's components, and Meta's definitions as ours; and files that go up before a message. Pure.

Sources, read 2026-11: developers.facebook.com/documentation/business-messaging/whatsapp/templates/components,
…/business-phone-numbers/media.
"""

import re
from typing import Any, Final

from msgspec import Struct

from connectors.abilities import TemplateDefinition
from connectors.content import Media, MediaKind, Template
from connectors.contract import Upload
from connectors.errors import Inexpressible

#: Stands for the id of a file that the client uploads first: known only then.
UPLOADED: Final = "{uploaded}"
_HEADERS: Final = {MediaKind.IMAGE: "image", MediaKind.VIDEO: "video", MediaKind.FILE: "document"}
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_BUTTON_KINDS: Final = {"url": ("text", "text"), "quick_reply": ("payload", "payload"), "copy_code": ("coupon_code", "coupon_code")}


def upload_of(media: Media, where: str, content: dict[str, Any]) -> Upload:
    """The file that goes up; ``content`` gets the place of its id."""
    stored = media.stored or media.ref
    if not stored:
        raise Inexpressible(f"{where}: the file {media.name[:40]!r} is not stored with us")
    content["id"] = UPLOADED
    mime = media.mime.partition(";")[0].strip().lower()
    return Upload(field="file", name=media.name or f"{media.kind.value}", mime=mime or "application/octet-stream", stored=stored)


def template_of(template: Template, where: str) -> tuple[dict[str, Any], tuple[Upload, ...]]:
    """What stands under ``template``, and the file of its header."""
    if template.names and len(template.names) != len(template.parameters):
        raise Inexpressible(f"{where}: the template has {len(template.names)} names for {len(template.parameters)} values")
    if any(not value.strip() for value in template.parameters):
        raise Inexpressible(f"{where}: a value of the template {template.name!r} is empty; WhatsApp refuses that")
    header, uploads = _header(template, where)
    components = [*header, *_body(template), *_buttons(template, where)]
    content: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    return content | ({"components": components} if components else {}), uploads


def _header(template: Template, where: str) -> tuple[list[dict[str, Any]], tuple[Upload, ...]]:
    parameter: dict[str, Any]
    uploads: tuple[Upload, ...] = ()
    if template.header_media is not None:
        media = template.header_media
        kind = _HEADERS.get(media.kind, "document")
        content: dict[str, Any] = {}
        uploads = (upload_of(media, where, content),)
        if kind == "document":
            content["filename"] = uploads[0].name
        parameter = {"type": kind, kind: content}
    elif template.header_location is not None:
        place = template.header_location
        location = {"latitude": place.latitude, "longitude": place.longitude, "name": place.name, "address": place.address}
        parameter = {"type": "location", "location": location}
    elif template.header:
        parameter = {"type": "text", "text": template.header}
    else:
        return [], ()
    return [{"type": "header", "parameters": [parameter]}], uploads


def _body(template: Template) -> list[dict[str, Any]]:
    if not template.parameters:
        return []
    parameters = [
        {"type": "text", **({"parameter_name": template.names[index]} if template.names else {}), "text": value}
        for index, value in enumerate(template.parameters)
    ]
    return [{"type": "body", "parameters": parameters}]


def _buttons(template: Template, where: str) -> list[dict[str, Any]]:
    components = []
    for index, value in enumerate(template.buttons):
        if not value:
            continue
        kind = template.button_kinds[index] if index < len(template.button_kinds) else "url"
        if kind not in _BUTTON_KINDS:
            raise Inexpressible(f"{where}: a value for a button of kind {kind!r}; only {', '.join(_BUTTON_KINDS)} take one")
        type_, name = _BUTTON_KINDS[kind]
        components.append({"type": "button", "sub_type": kind, "index": str(index), "parameters": [{"type": type_, name: value}]})
    return components


# --- definitions ----------------------------------------------------------------------------------------------------------


class _Button(Struct, frozen=True):
    type: str = ""
    text: str = ""
    url: str = ""


class _Component(Struct, frozen=True):
    type: str = ""
    format: str = ""
    text: str = ""
    buttons: tuple[_Button, ...] = ()


class Definition(Struct, frozen=True):
    """A template as the Graph API gives it."""

    name: str
    language: str
    status: str = ""
    category: str = ""
    id: str = ""
    components: tuple[_Component, ...] = ()


def definition_of(found: Definition) -> TemplateDefinition:
    """The same in our words."""
    parts = {component.type.upper(): component for component in found.components}
    header, body = parts.get("HEADER", _Component()), parts.get("BODY", _Component())
    buttons = parts.get("BUTTONS", _Component()).buttons
    return TemplateDefinition(
        name=found.name,
        language=found.language,
        status=found.status.lower(),
        category=found.category.lower(),
        body=body.text,
        parameters=tuple(dict.fromkeys(_PLACEHOLDER.findall(body.text))),
        header=header.format.lower(),
        header_text=header.text,
        footer=parts.get("FOOTER", _Component()).text,
        buttons=tuple(button.text for button in buttons),
        button_parameters=tuple(index for index, button in enumerate(buttons) if _changes(button)),
        button_kinds=tuple(button.type.lower() for button in buttons),
        id=found.id,
    )


def _changes(button: _Button) -> bool:
    return button.type.upper() == "COPY_CODE" or _PLACEHOLDER.search(button.url) is not None
