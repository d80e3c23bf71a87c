"""The reference of all settings, ours and those of the connectors: two packages that do not know each other meet here."""

from pathlib import Path
from typing import Final

from config.reference import Group, describe, own_groups, render_environment, render_markdown
from connectors.registry import BUILT_IN, load_connector

#: Marks in config/README.md.
BEGIN: Final = "<!-- settings: made by `make docs` -->"
END: Final = "<!-- settings: end -->"


def reference(output: str) -> str:
    """The text of ``sportello settings``."""
    return render_environment(all_groups()) if output == "env" else render_markdown(all_groups())


def all_groups() -> list[Group]:
    """Our own sections, then those of the connectors that come with us."""
    groups = own_groups()
    for kind in sorted(BUILT_IN):
        section = f"channels.my_{kind}"
        groups.append(describe(load_connector(kind).settings, section, f'[{section}] with kind = "{kind}"'))
    return groups


def generated_texts(root: Path) -> dict[Path, str]:
    """File of the repository -> what it should say; of the README only the part between its two marks changes."""
    readme = root / "config" / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return {readme: f"{before}{BEGIN}\n\n{reference('markdown')}\n{END}{after}", root / "deploy" / "env.example": reference("env")}
