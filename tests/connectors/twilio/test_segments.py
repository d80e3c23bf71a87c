"""T11: what an SMS is billed as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.twilio.segments import count, is_gsm, smart


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 1600, 11),
        # Extended characters count two.
        ("€" * 80, 1),
        ("€" * 80 + "a", 2),
        ("[" * 80, 1),
        # One that does not fit the segment's last septet goes whole into the next.
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("ь" * 70, 1),
        ("ь" * 71, 2),
        ("ь" * 134, 2),
        ("ь" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        # 33 emoji and no half one fit 67 units.
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("Perché no?", 1),
        ("a" * 159 + "ç", 3),
        ("a" * 159 + "Ç", 1),
    ],
)
def test_t11_segments(text: str, segments: int) -> None:
    assert count(text) == segments


def test_t11_smart_encoding_saves_segments() -> None:
    text = "“Sì”, disse – e poi…" + "a" * 100
    assert (count(text), count(text, smart_encoded=True)) == (2, 1)
    assert is_gsm(smart(text))
    assert smart("già “pronto”…") == 'già "pronto"...'


@given(st.text())
def test_never_fewer_than_the_characters_need(text: str) -> None:
    found = count(text)
    assert found >= 1
    assert found * 160 >= len(text)
    assert count(text + "a") >= found
