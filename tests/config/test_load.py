"""Where settings come from, who wins, and what a mistake is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError, load_config
from config.address import scanner_address
from config.lines import find_lines

FILE = """
data_dir = "here"

[server]
host = "0.0.0.0"
port = 9000
trusted_proxies = [
  "10.0.0.0/8",
  "192.168.0.1",
]

[channels.my-bot]
kind = "telegram"
token = "123:abc"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sportello.toml"
    path.write_text(text, "utf-8")
    return path


def problems(path: Path | None, environment: dict[str, str] | None = None, flags: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment or {}, flags)
    return str(caught.value).splitlines()


def test_it_starts_without_any_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {})
    assert (config.server.host, config.server.port, config.channels) == ("127.0.0.1", 8080, {})
    assert config.public_url == "http://127.0.0.1:8080"


def test_the_file_wins_over_defaults_the_environment_over_the_file_and_flags_over_all(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    environment = {"SPORTELLO__SERVER__PORT": "9001", "SPORTELLO__SERVER__HOST": "::1"}
    config = load_config(path, environment, {"server.port": "9002"})
    assert (config.data_dir, config.server.host, config.server.port) == ("here", "::1", 9002)
    assert config.server.trusted_proxies == ("10.0.0.0/8", "192.168.0.1")
    assert config.media.max_bytes == 25 * 1024 * 1024


def test_the_file_is_found_by_its_variable_and_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, FILE)
    assert load_config(None, {"SPORTELLO_CONFIG": str(path)}).server.port == 9000
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}).server.port == 9000


def test_a_channel_keeps_its_connectors_keys_as_they_are(tmp_path: Path) -> None:
    channel = load_config(write(tmp_path, FILE), {"SPORTELLO__CHANNELS__MY_BOT__TITLE": "Bot"}).channels["my-bot"]
    assert (channel.kind, channel.title, channel.enabled) == ("telegram", "Bot", True)
    assert channel.settings == {"token": "123:abc"}


def test_lists_come_from_the_environment_by_commas_or_as_json() -> None:
    for text in ("a, b", '["a", "b"]'):
        assert load_config(None, {"SPORTELLO__SERVER__TRUSTED_PROXIES": text}).server.trusted_proxies == ("a", "b")


def test_a_secret_can_be_read_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("canary-key-file-0123456789abcdef0123456789" + "\n", "utf-8")
    config = load_config(None, {"SPORTELLO__SERVER__SECRET_KEY_FILE": str(secret)})
    assert config.server.secret_key.reveal() == "canary-key-file-0123456789abcdef0123456789"
    assert "canary" not in repr(config)


def test_a_missing_secret_file_names_the_variable_and_the_key(tmp_path: Path) -> None:
    (line,) = problems(None, {"SPORTELLO__SERVER__SECRET_KEY_FILE": str(tmp_path / "none")})
    assert line.startswith("environment variable SPORTELLO__SERVER__SECRET_KEY_FILE: server.secret_key: the file cannot be read")


def test_every_mistake_is_named_with_file_line_and_key(tmp_path: Path) -> None:
    text = FILE.replace("port =", "prot =") + '\n[log]\nlevel = "loud"\n\n[chanels.x]\nkind = "webchat"\n'
    path = write(tmp_path, text)
    assert problems(path) == [
        f"{path}, line 6: server.prot: there is no such setting. Did you mean 'port'?",
        (
            f"{path}, line 17: log.level: not one of the allowed words. It is: least important lines that are written. "
            "Allowed: debug, error, info, warning."
        ),
        f"{path}, line 19: chanels: there is no such setting. Did you mean 'channels'?",
    ]


def test_a_number_in_quotes_is_a_mistake_in_the_file_but_not_in_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, '[server]\nport = "9000"\n')
    (line,) = problems(path)
    assert line.startswith(f"{path}, line 2: server.port: expected a whole number, got text.")
    assert load_config(path, {"SPORTELLO__SERVER__PORT": "9000"}).server.port == 9000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nport = 70000\n", "expected a whole number <= 65535"),
        ("[server]\nport = true\n", "expected a whole number, got true or false"),
        ("server = 1\n", "this is a section, not a single value"),
        ("[channels]\nbot = 1\n", "this is a section, not a single value"),
        ("[channels.bot]\ntoken = 'x'\n", "channels.bot.kind: is missing"),
        ('[channels."a/b"]\nkind = "x"\n', "a channel's name may hold"),
        ("data_dir = 7\n", "expected text"),
        ("[server\n", "it is not valid TOML"),
        ("[server]\nport = 1\nport = 2\n", "it is not valid TOML"),
        ('[server]\npublic_url = "chat.example.org"\n', "it has to begin with https://"),
        ('[server]\nsecret_key = "short"\n', "shorter than 32 characters"),
        ('[media]\nscanner = "tcp://127.0.0.1:3310"\n', "media.scanner: it has to be clamd://host:port"),
        ('[media]\nscanner = "clamd://"\n', "names neither a host nor the path"),
        ('[media]\nscanner = "clamd://host/run/clamd.ctl"\n', "names a host and a path"),
        ('[media]\nscanner = "clamd://host:many"\n', "media.scanner"),
        ('[media]\norigin = "files.example.org"\n', "media.origin: it has to be https://host"),
        ('[media]\norigin = "https://files.example.org/x"\n', "and nothing more"),
        ('[media]\norigin = "https://files.example.org; script-src *"\n', "media.origin"),
        ('[media]\norigin = "https://fi les.example.org"\n', "a character that no host's name has"),
        ('[media]\norigin = "https://[::1"\n', "cannot be read as an address"),
        ('[media]\norigin = "http://127.0.0.1:8080/"\n', "the gateway's own address"),
        (
            '[server]\npublic_url = "https://chat.example.org"\n[media]\norigin = "https://CHAT.example.org:443"\n',
            "the gateway's own address",
        ),
        (
            '[server]\npublic_url = "https://chat.example.org"\n[media]\norigin = "http://files.example.org"\n',
            "it has to begin with https://, as",
        ),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in line for line in problems(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("clamd://127.0.0.1:3310", ("127.0.0.1", 3310, "")),
        ("clamd://scanner", ("scanner", 3310, "")),
        ("clamd://[::1]:1", ("::1", 1, "")),
        ("clamd:///run/clamav/clamd.ctl", ("", 0, "/run/clamav/clamd.ctl")),
    ],
)
def test_where_the_scanner_is(tmp_path: Path, url: str, address: tuple[str, int, str]) -> None:
    config = load_config(write(tmp_path, f'[media]\nscanner = "{url}"\norigin = "HTTPS://Files.example.org:443/"\n'), {})
    assert scanner_address(config.media.scanner) == address
    assert config.file_origin == "https://files.example.org"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SPORTELLO__SERVER__PROT", "1", "Did you mean 'port'?"),
        ("SPORTELLO__SERVER__PORT", "many", "expected a whole number, got text"),
        ("SPORTELLO__SERVER__PORT__X", "1", "server.port"),
        ("SPORTELLO__SERVER__TRUSTED_PROXIES", "[1", "server.trusted_proxies"),
        ("SPORTELLO____PORT", "1", "the name has an empty part"),
        ("SPORTELLO__SERVER", "x", "this is a section"),
        ("SPORTELLO__SOURCES", "x", "there is no such setting"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(variable: str, value: str, words: str) -> None:
    lines = problems(None, {variable: value})
    assert any(line.startswith(f"environment variable {variable}: ") and words in line for line in lines)


def test_mistakes_in_flags_name_the_flag() -> None:
    (line,) = problems(None, {}, {"server.port": "x"})
    assert line.startswith("flag --port: server.port: expected a whole number")


def test_a_secret_in_the_wrong_shape_is_not_repeated(tmp_path: Path) -> None:
    for text in (
        "[server]\nsecret_key = 987654321\n",
        '[server]\nsecret_key = ["tell-nobody"]\n',
        '[server]\nsecret_key = "tell-nobody"\n',
    ):
        (line,) = problems(write(tmp_path, text))
        assert "server.secret_key" in line
        assert "987654321" not in line
        assert "tell-nobody" not in line


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "there is no such file" in problems(tmp_path / "none.toml")[0]
    assert "cannot be read" in problems(tmp_path)[0]
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'data_dir = "caf\xe9"\n')
    assert "it is not UTF-8" in problems(latin)[0]


def test_lines_are_found_past_strings_and_lists_of_many_lines() -> None:
    text = 'a = """\nb = 1\n"""\nc = [\n "]", # [\n 2,\n]\n"d e".f = 1\n[t."x.y"]\nz = {q = 1}\n[[u]]\nv = 1\n'
    assert find_lines(text) == {
        ("a",): 1,
        ("c",): 4,
        ("d e", "f"): 8,
        ("t",): 9,
        ("t", "x.y"): 9,
        ("t", "x.y", "z"): 10,
        ("u",): 11,
        ("u", "v"): 12,
    }


@given(st.text(max_size=200))
def test_no_text_breaks_the_line_finder(text: str) -> None:
    for path, line in find_lines(text).items():
        assert path
        assert 1 <= line <= text.count("\n") + len(text.splitlines()) + 1
