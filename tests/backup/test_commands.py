"""The commands as people type them, beside a running gateway and without one."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SPORTELLO")}


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "SPORTELLO__LOG__FORMAT": "json"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Status, output, errors."""
    process = await start(folder, *arguments)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_backup_restore_and_release_by_hand(tmp_path: Path) -> None:
    process = await start(tmp_path, "serve", "--port", "0", "--data-dir", "old")
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b'"event":"ready"' not in (line := await process.stderr.readline()):
                assert line
        url = re.search(rb'"url":"([^"]+)"', line)
        assert url is not None
        added = await command(tmp_path, "agent", "add", "ada@example.org", "--name", "Ada", "--data-dir", "old")
        assert added[0] == 0, added[2]
        status, out, err = await command(tmp_path, "backup", "one.backup", "--data-dir", "old")
        assert (status, err) == (0, ""), err
        assert re.match(r"one\.backup: \d+ events, 0 files, \d+\.\d MiB\.", out)
        again = await command(tmp_path, "backup", "one.backup", "--data-dir", "old")
        assert (again[0], "exists already: give the backup another name" in again[2]) == (1, True)
        running = await command(tmp_path, "restore", "one.backup", "--force", "--data-dir", "old")
        assert (running[0], f"is in use by process {process.pid}" in running[2]) == (1, True)

        held = await command(tmp_path, "outbox", "hold", "--why", "stocktaking", "--data-dir", "old")
        assert held[1] == "Sending is held: stocktaking.\nNo reply waits.\n"
        async with aiohttp.ClientSession() as http, http.get(f"{url[1].decode()}/readyz") as answer:
            body = await answer.json()
        assert (body["sending_held"], body["degraded"]) == (True, True)
        doctor = await command(tmp_path, "doctor", "--data-dir", "old")
        assert "WARN  sending: held: stocktaking" in doctor[1]
        assert "sportello outbox release" in doctor[1]
        odd = await command(tmp_path, "outbox", "release", "--drop-older-than", "soon", "--data-dir", "old")
        assert (odd[0], "is no time: write a whole number and s, m, h or d" in odd[2]) == (1, True)
        released = await command(tmp_path, "outbox", "release", "--drop-older-than", "2h", "--data-dir", "old")
        assert released[1] == "Sending is released; nothing waits.\n"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()

    restored = await command(tmp_path, "restore", "one.backup", "--data-dir", "new")
    assert restored[0] == 0, restored[2]
    assert "Sending is held." in restored[1]
    assert "The secret key was not in the backup" in restored[1]
    agents = await command(tmp_path, "agent", "list", "--data-dir", "new")
    assert "ada@example.org" in agents[1]
    assert "restored from the backup of" in (await command(tmp_path, "outbox", "status", "--data-dir", "new"))[1]
    assert "WARN  sending: held: restored" in (await command(tmp_path, "doctor", "--data-dir", "new"))[1]
    elsewhere = await command(tmp_path, "restore", "one.backup", "--to", f"sqlite://{tmp_path}/third/sportello.db")
    assert elsewhere[0] == 0, elsewhere[2]
    assert (tmp_path / "third" / "sportello.db").exists()
    assert "Replies are sent." in (await command(tmp_path, "outbox", "status", "--data-dir", "fourth"))[1]
