"""Gives every test here the maker of runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.append(
    str(Path(__file__).parent)
)  # importlib mode does not make what lies beside the tests importable


def load_made() -> ModuleType:
    """tests/analysis/made.py, which is no package's member."""
    name = "loadtest_tests_made"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("made.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def made() -> ModuleType:
    return load_made()
