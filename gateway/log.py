"""Logs: one JSON object per line, or for a terminal; everything goes through the same redaction, also what libraries log.

``configure`` is for the process (the command line calls it once); whoever logs uses ``structlog.get_logger(name)``.
"""

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from config.secret import MASK, Secret
from gateway.redact import SHORTEST, forms_of, values_of

#: A key with one of these words in its name never shows its value.
_SECRET_KEYS: Final = re.compile(
    r"token|secret|password|passwd|authorization|cookie|api_?key|credential|signature|session|ticket", re.IGNORECASE
)
#: Values that look like credentials, wherever they stand: our tokens, Telegram's, bearer headers, credentials in a URL.
_SECRET_VALUES: Final = (
    re.compile(r"gw_[A-Za-z0-9_-]{8,}"),
    re.compile(r"\d{3,}:[\w-]{30,}"),
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
)
#: Would forge lines or colour a terminal: C0, DEL, C1, line and paragraph separators.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_CHARS: Final = 4000

#: Libraries that are noisy, or that log addresses holding a bot's token.
_QUIET: Final = ("aiohttp.access", "httpx", "httpcore", "telegram", "asyncio")


def configure(level: str, style: str, *, secrets: Iterable[Secret] = (), stream: TextIO | None = None) -> None:
    """Set up logging for the whole process. ``style``: ``json``, ``console``, or ``auto`` (console on a terminal).

    The values of ``secrets`` are masked wherever they appear.
    """
    out = stream if stream is not None else sys.stderr
    console = style == "console" or (style == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _safe_traceback(console=console),
        Redaction(secrets),
    ]
    renderer: Processor = structlog.dev.ConsoleRenderer(colors=out.isatty()) if console else _render_json
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class Redaction:
    """Masks credentials and makes control characters visible, in every value at any depth."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        values = sorted({form for value in values_of(secrets) for form in forms_of(value) if len(form) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(value) for value in values)) if values else None

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        for key in list(event):
            if not key.startswith("_"):
                event[key] = self._clean(key, event[key])
        return event

    def _clean(self, key: str, value: Any) -> Any:
        if isinstance(value, Secret) or (_SECRET_KEYS.search(key) and value not in (None, "")):
            return MASK
        match value:
            case bool() | int() | float() | None:
                return value
            case dict():
                return {str(name): self._clean(str(name), inner) for name, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._clean(key, inner) for inner in value]
            case _:
                return self.text(value if isinstance(value, str) else str(value))

    def text(self, value: str) -> str:
        """``value`` as it may stand in a log line."""
        if self._known is not None:
            value = self._known.sub(MASK, value)
        for pattern in _SECRET_VALUES:
            value = pattern.sub(MASK, value)
        value = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
        return value if len(value) <= _MAX_CHARS else value[:_MAX_CHARS] + "…"


def _add_logger_name(logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    event["logger"] = record.name if record is not None else getattr(logger, "name", "")
    return event


def _safe_traceback(*, console: bool) -> Processor:
    """Tracebacks without the values of local variables: these may hold anything, credentials included."""
    if not console:
        return structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20))

    def where(_logger: WrappedLogger, _name: str, event: MutableMapping[str, Any]) -> EventDict:
        info = event.pop("exc_info", None)
        error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
        if isinstance(error, BaseException):
            frames = []
            trace = error.__traceback__
            while trace is not None:
                frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
                trace = trace.tb_next
            event["error"] = f"{type(error).__name__}: {error}"
            event["where"] = " > ".join(frames[-6:])
        return dict(event)

    return where


def _render_json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    return msgspec.json.encode(event).decode()
