"""What the operator says: settings, where they come from, and secrets that cannot be printed."""

from config.errors import ConfigError, Problem
from config.load import load_config
from config.model import ChannelConfig, Config
from config.secret import Secret

__all__ = ["ChannelConfig", "Config", "ConfigError", "Problem", "Secret", "load_config"]
