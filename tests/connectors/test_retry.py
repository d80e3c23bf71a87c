"""When to come back, and what plain HTTP answers mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Reply
from connectors.errors import FailureKind
from connectors.retry import MAX_WAIT, default_failure, detail_of, retry_after

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
K = FailureKind


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("17", 17),
        (" 17 ", 17),
        ("999999", MAX_WAIT),
        ("9" * 5000, MAX_WAIT),
        ("-5", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("²", 0),
        ("soon", 0),
        ("Sat, 21 Nov 2026 10:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 09:59:00 GMT", 0),
        ("Sun, 22 Nov 2026 10:00:00 GMT", MAX_WAIT),
        ("Sat, 21 Nov 2026 10:00:30", 30),
        ("Sat, 99 Nov 2026 10:00:30 GMT", 0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value, "date": DATE}) == seconds


def test_a_date_without_the_servers_own_clock_says_nothing() -> None:
    assert retry_after({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}) == 0
    assert retry_after({}) == 0


@given(st.text(), st.text())
def test_any_header_is_harmless(value: str, date: str) -> None:
    assert 0 <= retry_after({"retry-after": value, "date": date}) <= MAX_WAIT


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, K.UNKNOWN),
        (204, K.UNKNOWN),
        (301, K.CONFIG),
        (400, K.INVALID),
        (401, K.AUTH),
        (403, K.AUTH),
        (404, K.INVALID),
        (408, K.TRANSIENT),
        (409, K.INVALID),
        (413, K.INVALID),
        (429, K.THROTTLED),
        (500, K.UNKNOWN),
        (502, K.UNKNOWN),
        (503, K.TRANSIENT),
        (504, K.UNKNOWN),
        (999, K.UNKNOWN),
        (100, K.UNKNOWN),
    ],
)
def test_the_table(status: int, kind: FailureKind) -> None:
    """C11: and never a success."""
    assert default_failure(Reply(status=status)).kind is kind


def test_a_5xx_that_says_not_processed_may_be_repeated() -> None:
    assert default_failure(Reply(status=500), not_processed=True).kind is K.TRANSIENT


def test_no_answer() -> None:
    assert default_failure(Reply(status=0, written=False)).kind is K.TRANSIENT
    lost = default_failure(Reply(status=0, written=True, body=b"timeout"))
    assert (lost.kind, lost.code, lost.detail) == (K.UNKNOWN, "", "timeout")


def test_the_wait_goes_with_it() -> None:
    assert default_failure(Reply(status=429, headers={"retry-after": "12"})).retry_after == 12
    assert default_failure(Reply(status=400, headers={"retry-after": "12"})).retry_after == 0


def test_the_detail_is_one_short_line_of_text() -> None:
    assert detail_of(Reply(status=500, body=b"a\r\nb\x00\xff " + b"x" * 10_000)) == ("a b\ufffd\ufffd " + "x" * 300)[:300]
