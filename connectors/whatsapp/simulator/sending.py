"""What is sent to people: checked as Meta checks it, and put on their phones."""

import re
from typing import Any, Final

from connectors.meta.simulator import GraphRefusal, Lookaside, invalid_parameter
from connectors.simulator.phone import Line
from connectors.text import Unit, length
from connectors.whatsapp import limits
from connectors.whatsapp.people import is_user_id
from connectors.whatsapp.simulator.state import World

Json = dict[str, Any]

_FILES: Final = ("image", "video", "audio", "document", "sticker")
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")


def line_of(world: World, files: Lookaside, body: Json, person: str) -> Line:
    """A message as a line on the phone. Raises what Meta answers to one that is wrong."""
    kind = body.get("type", "text")
    line = Line(id=world.new_message_id(), person=person, from_shop=True, at=world.now(), status="sent")
    line.reply_to = str((body.get("context") or {}).get("message_id", ""))
    line.extra = {"type": kind, "callback": str(body.get("biz_opaque_callback_data", ""))}
    if len(line.extra["callback"]) > 512:
        raise invalid_parameter("biz_opaque_callback_data is longer than 512 characters.")
    content = _content(body, kind)
    match kind:
        case "text":
            line.text = _words(content, "body", limits.TEXT_LIMIT)
        case "location":
            line.location = {name: content[name] for name in ("latitude", "longitude", "name", "address") if name in content}
        case "contacts":
            _contacts(line, content)
        case "interactive":
            _interactive(files, line, content)
        case "template":
            _template(world, line, content)
        case _ if kind in _FILES:
            _file(files, line, kind, content)
        case _:
            raise GraphRefusal(131051, "Unsupported message type", details=f"Message type {kind} is not supported.")
    return line


def _content(body: Json, kind: str) -> Any:
    content = body.get(kind)
    if not isinstance(content, dict | list) or not content:
        raise GraphRefusal(131008, "Required parameter is missing", details=f"Parameter {kind} is missing.")
    return content


def recipient_of(world: World, body: Json) -> tuple[str, str]:
    """(as it was given, the person or empty). A user id in ``to`` is taken for a phone and reaches nobody."""
    to, recipient = re.sub(r"[^0-9]", "", str(body.get("to", ""))), str(body.get("recipient", ""))
    if to:
        return to, world.person_of(to)
    if not recipient:
        raise GraphRefusal(131008, "Required parameter is missing", details="Parameter to or recipient is required.")
    if not is_user_id(recipient):
        raise invalid_parameter("Parameter recipient is not a user id.")
    return recipient, world.person_of(recipient)


def _words(content: Any, name: str, limit: int, *, required: bool = True) -> str:
    text = content.get(name, "") if isinstance(content, dict) else ""
    if not isinstance(text, str) or (required and not text.strip()):
        raise GraphRefusal(131008, "Required parameter is missing", details=f"Parameter {name} is missing.")
    if length(text, Unit.UTF16) > limit:
        raise invalid_parameter(f"Param {name} must be at most {limit} characters long.")
    return text


def _file(files: Lookaside, line: Line, kind: str, content: Json) -> None:
    file = files.files.get(str(content.get("id", "")))
    if file is None:
        raise GraphRefusal(131009, "Parameter value is not valid", details="Media id is not valid, or has expired.")
    if kind in {"audio", "sticker"} and "caption" in content:
        raise invalid_parameter(f"Unexpected key caption on param {kind}.")
    line.files = (file.id,)
    line.text = _words(content, "caption", limits.CAPTION_LIMIT, required=False)
    line.extra["voice"] = bool(content.get("voice"))


def _contacts(line: Line, content: Any) -> None:
    card = content[0]
    name = card.get("name") or {}
    if not name.get("formatted_name") or len(name) < 2:
        raise invalid_parameter("At least one of the optional parameters of name must be set beside formatted_name.")
    line.contact = {"name": name["formatted_name"], "phone": next((phone["phone"] for phone in card.get("phones", ())), "")}


def _interactive(files: Lookaside, line: Line, content: Json) -> None:
    line.text = _words(content.get("body"), "text", limits.BODY_LIMIT)
    action = content.get("action") or {}
    if "header" in content:
        _header(files, line, content["header"], content.get("type"))
    match content.get("type"):
        case "flow":
            _form(line, action)
        case "button":
            replies = [button["reply"] for button in action.get("buttons", ())]
            _count(replies, limits.BUTTONS, "buttons")
            line.options = tuple(_option(one, limits.BUTTON_TITLE, limits.BUTTON_ID) for one in replies)
            line.extra["interactive"] = "button"
        case "list":
            _words(action, "button", limits.LIST_BUTTON)
            rows = [row for section in action.get("sections", ()) for row in section.get("rows", ())]
            _count(rows, limits.ROWS, "rows")
            line.options = tuple(_option(one, limits.ROW_TITLE, limits.ROW_ID) for one in rows)
            line.extra["interactive"] = "list"
        case other:
            raise invalid_parameter(f"interactive type {other} is not valid.")
    if len({option["label"] for option in line.options}) < len(line.options) or len({one["id"] for one in line.options}) < len(
        line.options
    ):
        raise invalid_parameter("Duplicated title or id.")


def _header(files: Lookaside, line: Line, header: Json, kind: Any) -> None:
    type_ = str(header.get("type"))
    if kind != "button" or type_ not in {"image", "video", "document"}:
        raise invalid_parameter(f"header type {type_} is not valid for interactive type {kind}.")
    file = files.files.get(str((header.get(type_) or {}).get("id", "")))
    if file is None:
        raise GraphRefusal(131009, "Parameter value is not valid", details="Media id is not valid, or has expired.")
    line.files = (file.id,)


def _form(line: Line, action: Json) -> None:
    parameters = action.get("parameters") or {}
    if action.get("name") != "flow" or parameters.get("flow_message_version") != "3":
        raise invalid_parameter("action must be flow, with flow_message_version 3.")
    form = _words(parameters, "flow_id", 64)
    label = _words(parameters, "flow_cta", limits.FORM_BUTTON)
    line.options = ({"id": _words(parameters, "flow_token", 200), "label": label},)
    line.extra |= {"interactive": "flow", "form": form, "screen": str((parameters.get("flow_action_payload") or {}).get("screen", ""))}


def _count(items: list[Json], most: int, name: str) -> None:
    if not 1 <= len(items) <= most:
        raise invalid_parameter(f"{name} must have 1 to {most} elements.")


def _option(found: Json, title: int, id_: int) -> Json:
    option = {"id": _words(found, "id", id_), "label": _words(found, "title", title)}
    description = _words(found, "description", limits.ROW_DESCRIPTION, required=False)
    return option | ({"description": description} if description else {})


def _template(world: World, line: Line, content: Json) -> None:
    name, language = content.get("name"), (content.get("language") or {}).get("code")
    found = next((one for one in world.business.templates if (one["name"], one["language"]) == (name, language)), None)
    if found is None or found["status"] in {"PENDING", "REJECTED"}:
        raise GraphRefusal(
            132001, "Template name does not exist in the translation", status=404, details=f"{name} does not exist in {language}."
        )
    if found["status"] == "PAUSED":
        raise GraphRefusal(132015, "Template is paused", details="It is paused because of low quality.")
    if found["status"] == "DISABLED":
        raise GraphRefusal(132016, "Template is disabled", details="It was paused too often.")
    parts = {part["type"].upper(): part for part in found["components"]}
    given = {str(part.get("type")).upper(): part for part in content.get("components", ())}
    body = parts.get("BODY", {}).get("text", "")
    wanted = list(dict.fromkeys(_PLACEHOLDER.findall(body)))
    values = given.get("BODY", {}).get("parameters", [])
    if len(values) != len(wanted):
        details = f"body: number of localizable_params ({len(values)}) does not match the expected number of params ({len(wanted)})"
        raise GraphRefusal(132000, "Number of parameters does not match the expected number of params", details=details)
    named = {value.get("parameter_name") or wanted[index]: str(value.get("text", "")) for index, value in enumerate(values)}
    if set(named) != set(wanted):
        raise GraphRefusal(132012, "Parameter format does not match", details="Names of parameters do not match the template's.")
    _template_header(parts.get("HEADER", {}), given.get("HEADER"))
    line.text = _PLACEHOLDER.sub(lambda match: named[match[1]], body)
    line.extra |= {"template": name}


def _template_header(header: Json, given: Json | None) -> None:
    format_ = header.get("format", "").lower()
    needed = format_ not in {"", "text"} or bool(_PLACEHOLDER.search(header.get("text", "")))
    found = str(given["parameters"][0].get("type")) if given and given.get("parameters") else ""
    if needed != bool(found) or (found and found != format_):
        raise GraphRefusal(
            132012, "Parameter format does not match", details=f"header: Format mismatch, expected {format_ or 'none'}, received {found}"
        )
