"""From a raw section of the configuration to a connector's own ``Settings``, with errors that name the key and never a value."""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from config import Secret
from connectors.errors import ConnectorError

S = TypeVar("S", bound=msgspec.Struct)


class BadSettings(ConnectorError):
    """A channel's settings are wrong. The message names the key, for example ``channels.shop.token: expected str``."""


def decode_settings(settings_type: type[S], raw: Mapping[str, Any], where: str = "") -> S:
    """``raw`` as ``settings_type``; ``where`` is the section's name and stands before the key in errors.

    Numbers and booleans may come as strings, because that is all that environment variables can carry.
    Raises :class:`BadSettings`; its message holds keys and types only, so that a secret in the wrong place is not printed.
    """
    try:
        return msgspec.convert(dict(raw), settings_type, strict=False, dec_hook=_decode_secret)
    except msgspec.ValidationError as error:
        raise BadSettings(_explain(str(error), where)) from None


def settings_schema(settings_type: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema of a connector's settings. Secrets are strings with ``format: password`` and ``writeOnly: true``.

    An optional secret needs a ``default_factory``: a default value would have to be printed.
    """
    return msgspec.json.schema(settings_type, schema_hook=_secret_schema)


def _decode_secret(wanted: type, value: Any) -> Any:
    if wanted is not Secret:
        raise NotImplementedError(f"settings of type {wanted.__name__} are not supported")
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return Secret(value)


def _secret_schema(wanted: type) -> dict[str, Any]:
    if wanted is not Secret:
        raise NotImplementedError(f"settings of type {wanted.__name__} are not supported")
    return {"type": "string", "format": "password", "writeOnly": True}


_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_FIELD: Final = re.compile(r"^Object (?P<what>missing required|contains unknown) field `(?P<field>.*)`$", re.DOTALL)
#: msgspec quotes the offending value in these two; it may be a secret in the wrong place.
_QUOTED: Final = re.compile(r"^Invalid (?:enum )?value ")


def _explain(message: str, where: str) -> str:
    """msgspec's words, turned round to ``key: what is wrong``."""
    match = _AT.match(message)
    assert match is not None
    what, path = match["what"], match["path"] or ""
    if field := _FIELD.match(what):
        path = f"{path}.{field['field']}" if path else field["field"]
        what = "is missing" if field["what"].startswith("missing") else "unknown setting"
    elif _QUOTED.match(what):
        what = "not one of the allowed values"
    else:
        what = (what[:1].lower() + what[1:]).replace("`", "")
    key = ".".join(part for part in (where, path) if part)
    return f"{key}: {what}" if key else what
