"""All settings as data, and as text: for ``config/README.md``, ``deploy/env.example`` and ``sportello settings``."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, inspect
from msgspec.structs import FieldInfo, fields

from config.decode import help_of
from config.load import PREFIX, SECTIONS
from config.model import ChannelConfig
from config.secret import Secret


class Setting(Struct, frozen=True, kw_only=True):
    """One setting as the reference shows it."""

    #: Dotted key; ``<id>`` stands for the channel's name.
    key: str
    #: In words: text, whole number, yes or no, list, secret, or the allowed values.
    kind: str
    #: As written in TOML; empty if it has to be given.
    default: str
    help: str

    @property
    def variable(self) -> str:
        name = PREFIX + "__".join(part.upper() for part in self.key.split("."))
        return f"{name}_FILE" if self.kind == "secret" else name


class Group(Struct, frozen=True, kw_only=True):
    """The settings of one section."""

    title: str
    about: str
    settings: tuple[Setting, ...]


def describe(type_: type[Struct], prefix: str, title: str, *, leave_out: frozenset[str] = frozenset()) -> Group:
    """The settings of one struct; also used for connectors, whose structs this package does not know."""
    settings = tuple(_setting(info, prefix) for info in fields(type_) if info.name not in leave_out)
    return Group(title=title, about=(type_.__doc__ or "").strip().split("\n\n", 1)[0].replace("\n", " "), settings=settings)


def own_groups() -> list[Group]:
    """The sections that every installation has."""
    folder = Setting(key="data_dir", kind="text", default='"var/sportello"', help="Folder for the database, files and keys.")
    groups = [Group(title="top of the file", about="Before the first section.", settings=(folder,))]
    groups += [describe(type_, name, f"[{name}]") for name, type_ in SECTIONS.items()]
    groups.append(describe(ChannelConfig, "channels.<id>", "[channels.<id>]", leave_out=frozenset({"settings"})))
    return groups


def render_markdown(groups: Iterable[Group]) -> str:
    """Tables for the README."""
    lines: list[str] = []
    for group in groups:
        lines += [f"### {_title(group.title)}", "", group.about, ""]
        lines += ["| key | kind | default | what it is |", "|---|---|---|---|"]
        lines += [
            f"| `{s.key.rsplit('.', 1)[-1]}` | {_cell(s.kind)} | {f'`{_cell(s.default)}`' if s.default else 'required'} | {_cell(s.help)} |"
            for s in group.settings
        ]
        lines.append("")
    return "\n".join(lines)


def render_environment(groups: Sequence[Group]) -> str:
    """A commented environment file: every variable with its default."""
    lines = ["# Every setting as an environment variable; remove the # of those that you set. Made by `make docs`.", ""]
    for group in groups:
        lines.append(f"# --- {group.title}: {group.about}")
        for setting in group.settings:
            variable = setting.variable.replace("<ID>", "MYCHANNEL")
            default = setting.default.strip('"') if setting.kind != "secret" else "/run/secrets/" + _file_name(setting.key)
            lines += [f"# {setting.help}" if setting.help else "#", f"# {variable}={default}"]
        lines.append("")
    return "\n".join(lines)


def _file_name(key: str) -> str:
    """``storage.url`` as ``storage_url``."""
    return "_".join(key.replace("<id>", "mychannel").split(".")[-2:])


def _title(title: str) -> str:
    """``[section] with …`` with its section as code."""
    section, bracket, rest = title.partition("]")
    return f"`{section}{bracket}`{rest}" if bracket else title.capitalize()


def _setting(info: FieldInfo, prefix: str) -> Setting:
    return Setting(key=f"{prefix}.{info.encode_name}", kind=_kind(info.type), default=_default(info), help=help_of(info))


def _kind(type_: Any) -> str:
    info = inspect.type_info(type_)
    if isinstance(info, inspect.Metadata):
        info = info.type
    match info:
        case inspect.CustomType(cls=cls) if cls is Secret:
            return "secret"
        case inspect.StrType():
            return "text"
        case inspect.IntType():
            return "whole number"
        case inspect.FloatType():
            return "number"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(str(value) for value in values)
        case inspect.EnumType(cls=enum):
            return " or ".join(str(member.value) for member in enum)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return "list"
        case _:
            return "table"


def _default(info: FieldInfo) -> str:
    if info.default is not NODEFAULT:
        value = info.default
    elif info.default_factory is not NODEFAULT:
        value = info.default_factory()
    else:
        return ""
    return msgspec.json.encode(value, enc_hook=_shown).decode()


def _shown(value: object) -> str:
    """A secret's default is empty, or is not shown."""
    return str(value) if value else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")
