"""JSON from strangers: what is taken, what is refused, and where the error says it is."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.strict_json import BadJson, load


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        (b'{"a":[{"b":1,"b":2}]}', "$.a[0].b", "twice"),
        (b'{"a":[1,NaN]}', "$.a[1]", "NaN"),
        (b'{"a":-Infinity}', "$.a", "Infinity"),
        (b'{"a":9007199254740993}', "$.a", "2^53"),
        (b'{"a":1e400}', "$.a", "too large"),
        (b'{"a":"\\udc00"}', "$.a", "surrogate"),
        (b'{"\\ud800":1}', "$", "surrogate"),
        (b'"\xff"', "$", "UTF-8"),
        (b"[" * 33 + b"]" * 33, "$", "32 levels"),
        (b"{}{}", "$", "not JSON"),
        (b"", "$", "not JSON"),
        (b"\xef\xbb\xbf{}", "$", "not JSON"),
    ],
)
def test_what_is_refused_is_named_with_its_place(data: bytes, path: str, words: str) -> None:
    with pytest.raises(BadJson, match=words.replace("^", r"\^")) as caught:
        load(data)
    assert caught.value.path == path


def test_nul_is_replaced_and_brackets_in_strings_do_not_nest() -> None:
    assert load(b'{"a\\u0000":"b\\u0000"}') == {"a\ufffd": "b\ufffd"}
    assert load(b'"' + b"[" * 1000 + b'\\"]"') == "[" * 1000 + '"]'
    assert load(b"-0") == 0


def test_a_bomb_is_refused_quickly() -> None:
    began = time.perf_counter()
    with pytest.raises(BadJson):
        load(b"[" * 1_000_000)
    assert time.perf_counter() - began < 0.05


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_ordinary_documents_come_out_as_they_are(value: Any) -> None:
    text = json.dumps(value)
    if "\\u0000" not in text and "\\ud" not in text:
        assert load(text.encode()) == value


@given(st.binary(max_size=100))
def test_any_bytes_give_a_value_or_the_one_error(data: bytes) -> None:
    with contextlib.suppress(BadJson):
        json.dumps(load(data)).encode()
