"""Length and splitting, in the unit that the channel counts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.text import Unit, clusters, length, split

FAMILY = "👩\u200d👩\u200d👧"
ITALY = "🇮🇹"


@pytest.mark.parametrize(
    ("text", "chars", "utf16", "size"),
    [("", 0, 0, 0), ("a", 1, 1, 1), ("é", 1, 1, 2), ("😀", 1, 2, 4), (FAMILY, 5, 8, 18), ("\ud800", 1, 1, 3)],
)
def test_length(text: str, chars: int, utf16: int, size: int) -> None:
    assert [length(text, unit) for unit in (Unit.CHARS, Unit.UTF16, Unit.BYTES)] == [chars, utf16, size]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("ab", ["a", "b"]),
        ("e\u0301a", ["e\u0301", "a"]),
        (FAMILY + "x", [FAMILY, "x"]),
        ("👍🏽!", ["👍🏽", "!"]),
        (ITALY + ITALY + "🇫", [ITALY, ITALY, "🇫"]),
        ("1\ufe0f\u20e3", ["1\ufe0f\u20e3"]),
        ("a\r\nb", ["a", "\r\n", "b"]),
        ("\u0301a", ["\u0301", "a"]),
    ],
)
def test_clusters(text: str, found: list[str]) -> None:
    assert clusters(text) == found


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("0123456789", ["0123456789"]),
        ("0123456789A", ["0123456789", "A"]),
        ("first\nlonger line", ["first", "longer", "line"]),
        ("longer\nline here", ["longer", "line here"]),
        ("a paragra\n\nph", ["a paragra", "ph"]),
        ("one two three four", ["one two", "three four"]),
        ("wholeword!", ["wholeword!"]),
        ("x" * 25, ["x" * 10, "x" * 10, "x" * 5]),
        ("x" * 10 + "    " + "y", ["x" * 10, "y"]),
        (" " * 25, [""]),
    ],
)
def test_split_at_ten(text: str, pieces: list[str]) -> None:
    assert split(text, 10, Unit.CHARS) == pieces


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("what", [FAMILY, "👍🏽", ITALY, "e\u0301"])
def test_an_emoji_is_never_torn(what: str, unit: Unit) -> None:
    pieces = split(what * 100, 40, unit)
    assert all(length(piece, unit) <= 40 for piece in pieces)
    assert all(len(piece) % len(what) == 0 for piece in pieces)
    assert "".join(pieces) == what * 100


def test_one_monster_is_cut_between_code_points() -> None:
    monster = "a" + "\u0301" * 99
    assert split(monster, 40, Unit.CHARS) == ["a" + "\u0301" * 39, "\u0301" * 40, "\u0301" * 20]


@pytest.mark.parametrize(("unit", "smallest"), [(Unit.CHARS, 1), (Unit.UTF16, 2), (Unit.BYTES, 4)])
def test_a_limit_below_one_character_is_refused(unit: Unit, smallest: int) -> None:
    with pytest.raises(ValueError, match=f"at least {smallest}"):
        split("a", smallest - 1, unit)
    assert split("😀😀", smallest, unit) == ["😀", "😀"]


words = st.text(
    alphabet=st.sampled_from(["a", "b", " ", "\n", ".", "é", "😀", "\u0301", "\u200d", "🇮", "👍", "🏽", "\r", "\0", "ש"]), max_size=400
)


@given(text=words | st.text(max_size=400), limit=st.integers(4, 60), unit=st.sampled_from(list(Unit)))
def test_pieces_fit_and_only_white_space_is_lost(text: str, limit: int, unit: Unit) -> None:
    pieces = split(text, limit, unit)
    assert pieces
    assert all(length(piece, unit) <= limit for piece in pieces)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert pieces == split(text, limit, unit)
    if length(text, unit) <= limit:
        assert pieces == [text]
    if len(pieces) > 1:
        assert all(piece.strip() for piece in pieces)


@given(words)
def test_clusters_join_to_the_text(text: str) -> None:
    assert "".join(clusters(text)) == text
    assert all(clusters(text))


@pytest.mark.parametrize("unit", ["x", "a\u0301", "\u0301", "\n", " a", "😀", "\u200d", "\n \n", "🇮"])
@pytest.mark.parametrize("limit", [4, 160, 4096])
def test_splitting_looks_at_each_character_a_few_times(unit: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once per piece: counted, not timed, so that a busy machine cannot decide."""
    looked_at = 0

    def counting(text: str, unit: Unit) -> int:
        nonlocal looked_at
        looked_at += len(text)
        return length(text, unit)

    monkeypatch.setattr("connectors.text.length", counting)
    text = (unit * 16_384)[:16_384]
    split(text, limit, Unit.BYTES)
    assert looked_at <= 40 * len(text)
