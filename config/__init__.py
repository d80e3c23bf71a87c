"""What the operator says: settings, where they come from, and secrets that cannot be printed."""

from config.secret import Secret

__all__ = ["Secret"]
