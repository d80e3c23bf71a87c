"""What is logged can be read by a machine, and holds no secret."""

import io
import json
import logging

import pytest
import structlog

from config import Secret
from gateway.log import configure
from gateway.metrics import Metrics

CANARY = "canary-value-1234"
BOT = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


def _fail() -> None:
    held = f"local {CANARY}"
    raise ValueError(held)


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_is_logged_wherever_it_stands(style: str) -> None:
    stream = io.StringIO()
    configure("debug", style, secrets=[Secret(CANARY)], stream=stream)
    log = structlog.get_logger("test")
    said = f"in the text {CANARY} and {BOT}"
    log.info(said)
    log.info("by name", token="plain-one", password="plain-two", Authorization="plain-three", nested={"api_key": ["plain-four"]})
    log.info("deep", value=[{"x": (f"a {CANARY}",)}], secret=Secret("canary-plain-five"), url=f"https://user:plain-six@host/bot{BOT}/send")
    log.info("ours", header="Bearer plain-seven-long-enough", key="gw_0123456789abcdef")
    logging.getLogger("aiohttp.server").error("library %s", CANARY)
    try:
        _fail()
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiohttp.server").exception("failed too")
    text = stream.getvalue()
    for forbidden in (CANARY, BOT, "plain-", "gw_0123456789abcdef"):
        assert forbidden not in text
    assert "test_log.py" in text  # the place is told, the variables are not


def test_a_line_cannot_be_forged() -> None:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    structlog.get_logger("test").info("one\nline \x1b[31mred", name="a\r\nb\u2028c\x9b")
    (line,) = lines(stream)
    assert "\x1b" not in line
    assert "\u2028" not in line
    assert json.loads(line)["event"] == "one\\x0aline \\x1b[31mred"


def test_libraries_that_show_addresses_are_quiet() -> None:
    stream = io.StringIO()
    configure("debug", "json", stream=stream)
    for name in ("httpx", "telegram.Bot", "aiohttp.access"):
        logging.getLogger(name).info("GET /bot123/x?token=1")
    assert lines(stream) == []
    logging.getLogger("httpx").warning("trouble")
    assert json.loads(lines(stream)[0])["logger"] == "httpx"


def test_the_level_is_kept() -> None:
    stream = io.StringIO()
    configure("warning", "json", stream=stream)
    structlog.get_logger("test").info("no")
    structlog.get_logger("test").warning("yes", n=1, none=None, flag=True)
    (line,) = lines(stream)
    assert {key: json.loads(line)[key] for key in ("event", "n", "none", "flag", "level", "logger")} == {
        "event": "yes",
        "n": 1,
        "none": None,
        "flag": True,
        "level": "warning",
        "logger": "test",
    }


def test_a_very_long_value_is_cut() -> None:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    structlog.get_logger("test").info("x" * 100_000)
    assert len(stream.getvalue()) < 5000


def test_all_metrics_begin_alike_and_two_gateways_count_for_themselves() -> None:
    one, two = Metrics(), Metrics()
    one.inbound.labels("bot", "appended").inc()
    assert one.value("sportello_inbound_total", channel="bot", outcome="appended") == 1
    assert two.value("sportello_inbound_total", channel="bot", outcome="appended") == 0
    text = one.render().decode()
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert names
    assert all(name.startswith("sportello_") for name in names)
    assert "_created" not in text
