"""Every Python that a test starts begins here: it watches its secrets as the test's own process does, see ``secret_hooks.py`` beside."""

import importlib.util
import os
import sys
from pathlib import Path

if os.environ.get("SPORTELLO_TEST_SECRETS"):
    # By their paths: what is installed, and what can be imported, stays as it would be without us.
    for _name in ("secret_marks", "secret_hooks"):
        _module = f"tests.support.{_name}"
        _spec = importlib.util.spec_from_file_location(_module, Path(__file__).parents[1] / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_module] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_module])
    sys.modules["tests.support.secret_hooks"].install()
