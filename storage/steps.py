"""What every engine says of a transaction that waits for something else than itself."""

from collections.abc import Generator
from typing import Any

from storage.errors import StorageError


def refusal_to_wait(steps: Generator[Any, Any, Any]) -> StorageError:
    """Stop a function that waits for what its transaction cannot give; returns what to raise."""
    try:
        steps.close()
    except RuntimeError as error:
        refusal = StorageError("a transaction may await nothing but its transaction, and this one goes on waiting when it is stopped")
        refusal.__cause__ = error
        return refusal
    return StorageError("a transaction may await nothing but its transaction: fetch what it needs before it begins")
