"""Where a test run may write secrets: what the operator or a test writes by hand, by exact names. There is no other exception."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tests.support.secret_marks import CONFIGURED, OWN_KEY, Find, digest


class Place(NamedTuple):
    """Where all of the name matches, secrets with these marks may be; None stands for all."""

    name: re.Pattern[str]
    why: str
    which: frozenset[str] | None = frozenset({CONFIGURED})


#: Files, by their paths.
FILES: Final = (
    Place(re.compile(r".*/sportello\.toml"), "the operator writes the credentials there"),
    Place(re.compile(r".*/test_a_secret_can_be_read_from\d+/key"), "or there: a file for one secret"),
    Place(re.compile(r".*/dovecot\.conf"), "the password of the mailboxes, for their server"),
    Place(re.compile(r".*/sentinel\.conf"), "that of the servers it watches; it writes it there by itself"),
    Place(re.compile(r".*/(sample\.py|__pycache__/sample\.cpython-\d+\.pyc|all\.case\.json)"), "copies of a connector's own tests"),
    Place(re.compile(r".*/test_the_search_sees_what_is_t\d+/file\d+"), "planted, for the proof of another search"),
    Place(
        re.compile(
            r".*/(test_many_masks_do_not_draw_a_|test_what_is_not_whole_is_left|test_long_bodies_are_trimmed_a)\d+/data/sportello\.db(-wal)?"
        ),
        "their payloads hold a secret, cannot be parsed, and are kept as they came",
    ),
    Place(re.compile(r".*/powercut-[^/]+/(image|left)"), "a whole disk, with the configuration and the key on it", None),
    Place(re.compile(r".*/planted-secrets/.*"), "the proof of this search", None),
    Place(re.compile(r".*/secret\.key"), "where a node keeps the key that it has made", frozenset({OWN_KEY})),
    Place(re.compile(r".*/test_the_key_is_in_it_only_if_\d+/with\.backup"), "it was asked for", frozenset({OWN_KEY})),
    Place(re.compile(r".*/data/(base|pg_wal)/.*"), "nodes share it by PostgreSQL", frozenset({OWN_KEY})),
)
#: Reports of tests, by the tests' ids and the section.
REPORTS: Final = (
    Place(
        re.compile(r"tests/connectors/kit/test_checks\.py::test_a_broken_connector_is_red_just_there\[C12-.*"),
        "connectors that are made to show a secret, so that the kit is seen to notice",
    ),
)
#: Values that become a Secret without being marked; why.
_ALLOWED: Final = {
    "123456789:replace-me-with-the-token-of-your-bot": "what the example says that is shipped",
    "replace-me-with-the-output-of-openssl-rand-hex-32": "the same",
    "1000001:demo-token-for-the-simulator-only-000": "the demo's own provider has it, as everybody may read in the source",
    "demo-secret-that-opens-only-the-simulator": "the same",
    "AbC123": "the shortest that is masked",
    "short": "shorter than what is masked",
}
#: Here no gateway runs, and whatever somebody may mistake for a credential is in the tables.
_PURE: Final = ("tests/config/", "tests/connectors/", "tests/storage/test_bus_url.py")
_SHORT: Final = 12


def is_free(place: str) -> bool:
    """Need this file not be searched at all?"""
    return any(rule.which is None and rule.name.fullmatch(place) for rule in FILES)


def may_be_there(place: str, rules: tuple[Place, ...], found: Find) -> bool:
    """Is this the place for such a secret?"""
    return any((rule.which is None or found.mark in rule.which) and rule.name.fullmatch(place) for rule in rules)


def may_be_unmarked(noted: Mapping[str, Any]) -> bool:
    """Need this value not be found? ``noted``: its digest, its length, and the test that made it."""
    return noted["digest"] in {digest(value) for value in _ALLOWED} or (noted["length"] < _SHORT and noted["test"].startswith(_PURE))
