"""Mails as they come: each file is named by its mischief, and what it must give stands beside it."""

import json
import re
from pathlib import Path

import pytest

from tests.support.mail_summary import summary

MAILS = Path(__file__).parent / "mails"
NAMES = sorted(path.stem for path in MAILS.glob("*.eml"))


@pytest.mark.parametrize("name", NAMES)
def test_mail(name: str) -> None:
    expected = json.loads((MAILS / f"{name}.summary.json").read_text("utf-8"))
    assert summary((MAILS / f"{name}.eml").read_bytes()) == expected


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 50
    labels = {label.lower() for name in NAMES for label in re.findall(rb"charset=\"?([\w-]+)", (MAILS / f"{name}.eml").read_bytes())}
    assert len(labels) >= 12


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("sender-")])
def test_only_what_our_server_vouches_for_is_a_known_address(name: str) -> None:
    found = json.loads((MAILS / f"{name}.summary.json").read_text("utf-8"))
    assert found["sender"].startswith("mailto::") == ("unverified" not in found["remarks"])


@pytest.mark.parametrize("name", NAMES)
def test_line_ends_do_not_matter(name: str) -> None:
    raw = (MAILS / f"{name}.eml").read_bytes()
    bare = summary(raw.replace(b"\r\n", b"\n"))
    assert {key: value for key, value in bare.items() if key != "files"} == {
        key: value for key, value in summary(raw).items() if key != "files"
    }
