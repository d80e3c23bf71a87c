"""The same connector in another process, with another seed for hashes, in another time zone: ``python -m gateway.kit.elsewhere``."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.contract import Outbound
from connectors.errors import BadPayload, Inexpressible
from gateway.kit.bench import Bench, open_bench, plain

_SECONDS: Final = 60
#: A text of so many times the limit makes a message of several parts.
LONG: Final = 3


def facts(bench: Bench, messages: list[Outbound]) -> Any:
    """What the pure functions give for all cases, as data."""
    read = []
    for arrival in bench.arrivals:
        found = bench.try_parse(arrival.request)
        read.append(str(found) if isinstance(found, BadPayload) else plain(found))
    said = []
    for message in [message for _, message in bench.sendings] + messages:
        calls = bench.try_render(message)
        said.append(str(calls) if isinstance(calls, Inexpressible) else msgspec.to_builtins(calls))
    answers = [(case.its_call() or bench.hello, reply) for case, reply in bench.answers]
    heard = [msgspec.to_builtins(bench.outcome(call, reply)) for call, reply in answers if call is not None]
    return json.loads(msgspec.json.encode([read, said, heard]))


def facts_elsewhere(bench: Bench, name: str, messages: list[Outbound]) -> Any:
    """The same from a new process. Raises OSError with its words if it fails."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    task = msgspec.json.encode({"name": name, "folder": str(bench.folder.path), "messages": messages})
    command = [sys.executable, "-m", "gateway.kit.elsewhere"]
    done = subprocess.run(command, input=task, capture_output=True, env=environment, timeout=_SECONDS, check=False)  # noqa: S603  our own
    if done.returncode != 0:
        raise OSError(done.stderr.decode("utf-8", "replace").strip()[-400:])
    return json.loads(done.stdout)


def main() -> None:
    """Reads the task from standard input."""
    task = msgspec.json.decode(sys.stdin.buffer.read())
    bench = open_bench(task["name"], Path(task["folder"]))
    messages = msgspec.convert(task["messages"], list[Outbound])
    sys.stdout.buffer.write(msgspec.json.encode(facts(bench, messages)))


if __name__ == "__main__":
    main()
