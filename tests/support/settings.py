"""A connector's settings, decoded as the gateway decodes them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct

from config.decode import decode_section

S = TypeVar("S", bound=Struct)


def settings_of(type_: type[S], values: Mapping[str, Any]) -> S:
    """As if the values stood in the section of a channel. Raises ConfigError."""
    return decode_section(type_, values, ("channels", "shop"), {})
