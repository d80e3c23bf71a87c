"""Templates as the provider knows them: listed for agents, and looked at before one is sent."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from connectors.abilities import TemplateDefinition
from connectors.content import AnyPart, Template
from connectors.event import Instant
from gateway.services import Channel
from gateway.web.errors import Refusal, not_found
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import Shape
from gateway.web.template_cache import Templates

_FILES: Final = frozenset({"image", "video", "document"})


class TemplateQuery(Input, frozen=True, kw_only=True):
    #: Ask the provider now; for supervisors.
    refresh: bool = False


class TemplateList(Shape, frozen=True, kw_only=True):
    """All of a channel, whatever their state."""

    items: list[TemplateDefinition]
    #: When the provider said so.
    as_of: Instant


async def list_templates(call: Call[Nothing, TemplateQuery]) -> TemplateList:
    """All of a channel; a node asks the provider every five minutes at most."""
    if call.query.refresh and not call.principal.supervises:
        raise Refusal(403, "forbidden", "Asking the provider anew needs the role supervisor; leave refresh out.")
    channel = call.services.channels.get(call.path("id"))
    if channel is None or not channel.enabled:
        raise not_found()
    known = await call.state.templates.of(channel, refresh=call.query.refresh)
    if known is None:
        raise Refusal(409, "no_templates", f"The channel {channel.title} has no templates; write in your own words.")
    return TemplateList(items=list(known.items), as_of=known.at)


async def checked(templates: Templates, channel: Channel, parts: tuple[AnyPart, ...]) -> tuple[AnyPart, ...]:
    """``parts`` with the names of placeholders that the provider wants. Raises Refusal 422 for a template that it would refuse."""
    if not any(isinstance(part, Template) for part in parts):
        return parts
    try:
        known = await templates.of(channel)
    except Refusal:
        return parts  # then the provider will judge
    if known is None:
        return parts
    return tuple(
        _checked(part, known.items, f"$.parts[{index}]") if isinstance(part, Template) else part for index, part in enumerate(parts)
    )


def _checked(part: Template, known: Sequence[TemplateDefinition], path: str) -> Template:
    named = [one for one in known if one.name == part.name]
    if not named:
        raise Refusal(422, "unknown_template", f"The channel has no template {part.name!r}.", field=f"{path}.name")
    definition = next((one for one in named if one.language == part.language), None)
    if definition is None:
        languages = ", ".join(sorted(one.language for one in named))
        raise Refusal(422, "unknown_template", f"The template {part.name!r} exists in {languages} only.", field=f"{path}.language")
    if definition.status != "approved":
        why = f"The provider has not approved the template {part.name!r}: it is {definition.status}."
        raise Refusal(422, "template_not_approved", why, field=f"{path}.name")
    for field, why in _problems(part, definition):
        raise Refusal(422, "invalid_template", why, field=f"{path}.{field}")
    wants_names = any(not name.isdecimal() for name in definition.parameters)
    names = part.names or (definition.parameters if wants_names else ())
    return replace(part, names=names, button_kinds=definition.button_kinds)


def _problems(part: Template, definition: TemplateDefinition) -> Iterator[tuple[str, str]]:
    wanted = definition.parameters
    if len(part.parameters) != len(wanted):
        yield "parameters", f"The template has {len(wanted)} placeholders ({', '.join(wanted) or 'none'}), not {len(part.parameters)}."
    if any(not value.strip() for value in part.parameters):
        yield "parameters", "A placeholder needs a value."
    if part.names and (len(part.names) != len(part.parameters) or set(part.names) != set(wanted)):
        yield "names", f"The template's placeholders are {', '.join(wanted) or 'none'}."
    yield from _header_problems(part, definition)
    if len(part.buttons) > len(definition.buttons):
        yield "buttons", f"The template has {len(definition.buttons)} buttons, not {len(part.buttons)}."
    for index in definition.button_parameters:
        if index >= len(part.buttons) or not part.buttons[index]:
            yield "buttons", f"The button {definition.buttons[index]!r} needs a value."
    for index, value in enumerate(part.buttons):
        if value and index not in definition.button_parameters:
            yield "buttons", f"The button {definition.buttons[index]!r} takes no value."


def _header_problems(part: Template, definition: TemplateDefinition) -> Iterator[tuple[str, str]]:
    kind = definition.header
    file = part.header_media
    if kind in _FILES:
        shown = "document" if file is not None and file.kind.value == "file" else file.kind.value if file else ""
        if shown != kind:
            yield "header_media", f"The template's header is a file of kind {kind}; upload one and name it."
    elif file is not None:
        yield "header_media", "The template has no file in its header."
    if (kind == "location") != (part.header_location is not None):
        yield "header_location", f"The template's header {'is a place; name one' if kind == 'location' else 'is no place'}."
    variable = kind == "text" and "{{" in definition.header_text
    if variable and not part.header.strip():
        yield "header", "The template's header has a placeholder; it needs a value."
    if part.header and not variable:
        yield "header", "The template's header has no placeholder."
