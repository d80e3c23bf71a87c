"""What the operator may say, and what is said back."""

from typing import Any

import pytest

from config.errors import ConfigError
from connectors.capabilities import open_window
from connectors.errors import FailureKind
from connectors.meta.failure import COMMON_CODES
from connectors.whatsapp import CAPABILITIES
from connectors.whatsapp.codes import CODES
from tests.support.graph import APP_SECRET, TOKEN, VERIFY_TOKEN, make_settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"access_token": ""}, "access_token must not be empty"),
        ({"access_token": "two words"}, "one word of printable ASCII"),
        ({"app_secret": ""}, "app_secret must not be empty"),
        ({"verify_token": "short"}, "at least 16 characters"),
        ({"graph_base": "ftp://x"}, "graph_base must be"),
        ({"graph_base": "https://user:pass@x"}, "graph_base must be"),
        ({"api_version": "23"}, "v26.0"),
        ({"phone_number_id": "+39351"}, "phone_number_id must be a number"),
        ({"business_account_id": ""}, "business_account_id must be a number"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make_settings(**changes)
    assert not any(secret in str(caught.value) for secret in (TOKEN, APP_SECRET, VERIFY_TOKEN))


def test_secrets_do_not_show() -> None:
    shown = repr(make_settings())
    assert not any(secret in shown for secret in (TOKEN, APP_SECRET, VERIFY_TOKEN))


@pytest.mark.parametrize(
    ("age", "name"), [(0.0, "session"), (86_399.0, "session"), (86_400.0, "template"), (10**9, "template"), (None, "template")]
)
def test_w10_after_a_day_only_templates(age: float | None, name: str) -> None:
    window = open_window(CAPABILITIES.windows, age)
    assert window is not None
    assert window.name == name
    assert window.sends == (CAPABILITIES.sends if name == "session" else {"template"})


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (FailureKind.WINDOW, (470, 131047)),
        (
            FailureKind.INVALID,
            (132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 131008, 131009, 131051, 131049, 130472, 131062),
        ),
        (FailureKind.THROTTLED, (4, 80007, 130429, 131056, 133016, 131064)),
        (FailureKind.TRANSIENT, (131000, 131016, 131053, 135000, 1, 2)),
        (FailureKind.RECIPIENT, (131026, 131021, 131030, 130497)),
        (FailureKind.OPTED_OUT, (131050,)),
        (FailureKind.AUTH, (0, 3, 10, 190, *range(200, 300), 131005)),
        (FailureKind.ACCOUNT, (368, 131031, 131042, 131045, 131048, 131057, 133010)),
    ],
)
def test_w10_w11_every_code_has_its_class(kind: FailureKind, codes: tuple[int, ...]) -> None:
    found = {code: CODES.get(code) or COMMON_CODES.get(code) for code in codes}
    assert found == dict.fromkeys(codes, kind)
