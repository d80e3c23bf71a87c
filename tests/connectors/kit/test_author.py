"""What an author does: a skeleton, the command, the plugin; and what they are told when something is wrong."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.kit.bench import open_bench
from gateway.kit.checks import run_checks
from gateway.kit.findings import State
from gateway.kit.folder import BadFolder, read_folder
from gateway.kit.new import write_skeleton

ROOT = Path(__file__).parents[3]
PIGEON = ROOT / "tests" / "third_party" / "pigeon"

#: A case that an author adds.
EMPTY = """{"case": "inbound", "name": "nothing said", "request": {"json": {"id": "e3", "type": "text", "sender": "alice"}},
 "events": [{"type": "payload.ignored", "key": "text:e3", "why": "text"}]}
"""
#: What an author writes into the skeleton: file -> (as it was, as it is).
FILLED = {
    "sportello_heron/__init__.py": [("sources=()", 'sources=("https://heron.example/docs, 2026-11",)')],
    "sportello_heron/inbound.py": [
        (
            'raise NotImplementedError("how does the provider prove itself?")',
            'return hmac_matches("sha256", (settings.webhook_secret,), request.body, request.headers.get("x-signature", ""))',
        ),
        (
            'raise NotImplementedError("what has happened?")',
            """key = f"{entry.type}:{entry.id}"[:512]
    if entry.type != "text" or not entry.text:
        return PayloadIgnored(key=key, why=entry.type)
    sender = Sender(identity=Identity("heron", "", entry.sender))
    return MessageReceived(key=key, sender=sender, message_id=entry.id, parts=(Text(text=entry.text),))""",
        ),
        (
            "from connectors.event import AnyEvent\n",
            """from connectors.event import AnyEvent, MessageReceived, PayloadIgnored, Sender
from connectors.content import Text
from connectors.identity import Identity
from connectors.signature import hmac_matches
""",
        ),
        ("    id: str\n", "    id: typing.Annotated[str, msgspec.Meta(min_length=1)]\n"),
        ("import msgspec\n", "import typing\n\nimport msgspec\n"),
    ],
    "sportello_heron/outbound.py": [
        (
            'raise NotImplementedError("what does the provider want?")',
            """words = {"to": message.to, "text": plain_text(parts)}
    return Call(method="POST", url=f"{settings.api_base}/messages", json=words, part=index, bucket=message.to)""",
        ),
        (
            'raise NotImplementedError("what does the answer mean?")',
            """document = read(reply.body)
    if reply.status == 200 and isinstance(document.get("id"), str) and document["id"]:
        return Sent(document["id"])
    failure = default_failure(reply)
    return Failure(kind=FailureKind.RECIPIENT, code="nobody") if document.get("error") == "nobody" else failure


def read(body: bytes) -> dict[str, object]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}""",
        ),
        (
            "from connectors.contract import Call, Outbound, Outcome, Reply\n",
            """from connectors.content import plain_text
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent
from connectors.errors import FailureKind
from connectors.retry import default_failure
import msgspec
""",
        ),
    ],
    "tests/sample.py": [
        ("    at=lambda", '    exempt={"own": "herons do not echo"},\n    at=lambda'),
    ],
}


@pytest.fixture
def heron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = write_skeleton("heron", tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "sportello_heron"]:
        del sys.modules[name]


def states(folder: Path) -> dict[str, State]:
    return {one.check.id: one.state for one in run_checks(open_bench("sportello_heron", folder / "tests"))}


def test_the_skeleton_is_red_where_the_author_must_fill_in(heron: Path) -> None:
    """Each red line names the file and the function."""
    red = {}
    for result in run_checks(open_bench("sportello_heron", heron / "tests")):
        if result.state is State.FAILED:
            red[result.check.id] = {
                problem.place.partition(", line")[0] + problem.place.rpartition(":")[2] for problem in result.findings.problems
            }
    verify, event_of, call_of = {"inbound.py verify"}, {"inbound.py event_of"}, {"outbound.py call_of"}
    assert red == {
        "C01": {"CONNECTORCONNECTOR"},
        "C02": verify,
        "C03": event_of,
        "C04": verify,
        "C05": event_of,
        "C07": event_of,
        "C08": event_of,
        "C09": call_of,
        "C10": call_of,
        "C11": call_of,
        "C12": event_of,
        "C14": call_of,
        "C15": call_of,
        "C18": {"casescases"},
        "C19": call_of,
        "C20": verify,
    }


def test_filled_in_it_is_green(heron: Path) -> None:
    for name, changes in FILLED.items():
        file = heron / name
        text = file.read_text("utf-8")
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        file.write_text(text, "utf-8")
    (heron / "tests" / "cases" / "empty.case.json").write_text(EMPTY, "utf-8")
    results = list(run_checks(open_bench("sportello_heron", heron / "tests")))
    assert {one.check.id: one.findings.lines() for one in results if one.state is State.FAILED} == {}


@pytest.mark.parametrize(("name", "words"), [("Heron", "a-z"), ("telegram", "already"), ("x" * 33, "32"), ("../x", "a-z"), ("", "a-z")])
def test_a_name_that_cannot_be_is_refused(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match=words):
        write_skeleton(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(heron: Path) -> None:
    with pytest.raises(BadFolder, match="is there already"):
        write_skeleton("heron", heron.parent)


# --- the command ----------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["connector", *arguments])
    return int(str(ended.value.code))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PIGEON))
    assert run("test", "sportello_pigeon", "--cases", str(PIGEON / "tests"), "--only", "C07", "--only", "c16") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "C07  passed  each recorded request gives its events, also with unknown fields"
    assert out[1].startswith("C16  exempt")
    assert out[-1] == "sportello_pigeon: 1 passed, 1 exempt"
    assert run("new", "heron", "--into", str(tmp_path)) == 0
    assert "sportello-heron is written" in capsys.readouterr().out
    assert run("list") == 0
    assert re.search(r"telegram +Sportello", capsys.readouterr().out)


def test_a_red_check_is_exit_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PIGEON))
    (tmp_path / "sample.py").write_text((PIGEON / "tests" / "sample.py").read_text("utf-8"), "utf-8")
    assert run("test", "sportello_pigeon", "--cases", str(tmp_path), "--only", "C18") == 1
    assert "no inbound case shows a message of our own" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_thing"], "neither an installed kind"),
        (["json"], "has no CONNECTOR"),
        (["json:dumps"], "gives a function"),
        (["telegram", "--cases", "/nowhere"], "sample.py is missing"),
        (["telegram", "--cases", str(ROOT / "tests/connectors/telegram"), "--only", "C21"], "no check 'C21'"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", *arguments) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.case.json", '{"case": "inbound", "name": "x"}', "x.case.json.*request"),
        ("x.case.json", '{"case": "inbound", "request": {}, "events": [], "bad": "x"}', "one of `events`"),
        ("x.case.json", '{"case": "dance"}', "dance"),
        ("x.case.json", '{"case": "handshake", "request": {"jsn": 1}, "body": null}', "jsn"),
        ("x.case.json", "[", "x.case.json"),
        ("x.expect.json", "[]", "exactly one body"),
        ("sample.py", "SAMPLE = 5", "must be a gateway.kit.Sample"),
        ("sample.py", "1 / 0", "ZeroDivisionError"),
        (
            "sample.py",
            "from gateway.kit import Sample\nSAMPLE = Sample(settings={}, to='', to_another='', exempt={'x': 'y'})",
            "there is no 'x'",
        ),
        (
            "sample.py",
            "from gateway.kit import Sample\nSAMPLE = Sample(settings={}, to='', to_another='', exempt={'own': ' '})",
            "in words",
        ),
        ("sample.py", "from gateway.kit import Sample\nSAMPLE = Sample(settings={}, to='', to_another='')", "settings.token: is missing"),
    ],
)
def test_a_folder_that_cannot_be_read_is_named(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text((ROOT / "tests/connectors/telegram/sample.py").read_text("utf-8"), "utf-8")
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(BadFolder, match=words):
        open_bench("telegram", tmp_path)


def test_two_cases_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text((ROOT / "tests/connectors/telegram/sample.py").read_text("utf-8"), "utf-8")
    case = {"case": "handshake", "name": "x", "request": {"method": "GET"}, "body": None}
    (tmp_path / "x.case.json").write_text(json.dumps([case, case]), "utf-8")
    with pytest.raises(BadFolder, match="called 'x'"):
        read_folder(tmp_path)


# --- pytest ---------------------------------------------------------------------------------------------------------------


def pytest_in(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "gateway.pytest_conformance", "-p", "no:cacheprovider", "-rs", *arguments]
    environment = {"PYTHONPATH": f"{ROOT}:{PIGEON}", "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr


def test_the_plugin_runs_the_checks_when_asked(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n", "utf-8")
    (tmp_path / "tests").mkdir()
    for file in ("sample.py", "cases/all.case.json"):
        place = tmp_path / "tests" / file
        place.parent.mkdir(exist_ok=True)
        place.write_text((PIGEON / "tests" / file).read_text("utf-8").replace('"m1"', '"m2"', 1), "utf-8")
    said = pytest_in(tmp_path, "--conformance", "sportello_pigeon", "-k", "C16 or C18 or C01")
    assert "2 passed, 1 skipped, 17 deselected" in said, said
    assert "no media arrive on this channel" in said
    said = pytest_in(tmp_path, "--conformance", "sportello_pigeon", "-k", "C07")
    assert "events[0].message_id is 'm2' instead of 'm1'" in said or "1 failed" in said, said
    assert "1 passed" in pytest_in(tmp_path, "test_other.py")
    assert "neither an installed kind" in pytest_in(tmp_path, "--conformance", "nothing_of_the_kind")
