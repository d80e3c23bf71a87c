"""Graph's errors as it answers them."""

import json
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web

#: Subcodes that stand for themselves in faults, and the code that they belong to.
_CODE_OF: Final = MappingProxyType(
    {2018278: 10, 2018065: 10, 2018108: 10, 2534022: 10, 2018001: 100, 2018218: 100, 2018292: 100, 1545041: 200, 1357046: 1, 1893016: 613}
)
_WORDS: Final = MappingProxyType(
    {
        1: "An unknown error occurred",
        2: "An unexpected error has occurred. Please retry your request later.",
        4: "Application request limit reached",
        10: "Application does not have permission for this action",
        100: "Invalid parameter",
        190: "Invalid OAuth access token.",
        200: "Permissions error",
        368: "The action attempted has been deemed abusive or is otherwise disallowed",
        551: "This person isn't available right now.",
        613: "Calls to this API have exceeded the rate limit",
        1200: "Temporary send message failure. Please try again later.",
        10900: "Activity already replied to",
        10901: "Activity is too old to be replied to",
    }
)
_STATUS: Final = MappingProxyType({1: 500, 2: 500, 1200: 500, 190: 401, 10: 403, 200: 403})


class GraphRefusal(Exception):
    """A call is refused; ``code`` may also be a well-known subcode."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(detail or str(code))
        self.code = _CODE_OF.get(code, code)
        self.subcode = code if code in _CODE_OF else 0
        self.detail = detail

    def answer(self) -> web.Response:
        """As Graph says it."""
        words = self.detail or _WORDS.get(self.code, "refused")
        error: dict[str, Any] = {
            "message": f"(#{self.code}) {words}",
            "type": "OAuthException",
            "code": self.code,
            "fbtrace_id": "Asimulated",
        }
        if self.subcode:
            error["error_subcode"] = self.subcode
        return answer({"error": error}, _STATUS.get(self.code, 400))


def answer(found: Any, status: int = 200) -> web.Response:
    """JSON with everything beyond ASCII escaped, as Meta writes it."""
    return web.Response(text=json.dumps(found), status=status, content_type="application/json")
