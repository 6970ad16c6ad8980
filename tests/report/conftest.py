"""Runs on disk, made as those of tests/analysis are."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from loadtest.analysis.summary import summarise
from loadtest.measure import run as runs
from loadtest.measure.run import Run
from loadtest.report.render import render


@pytest.fixture(scope="session")
def made() -> ModuleType:
    name = "loadtest_tests_made"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "analysis" / "made.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def push(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A calm websocket run of 30 s."""
    return runs.read(made.Maker().write(tmp_path_factory.mktemp("reports")))


@pytest.fixture(scope="session")
def polling(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same over polling."""
    maker = made.Maker(transport="interval-polling", seed=2)
    return runs.read(maker.write(tmp_path_factory.mktemp("reports")))


@pytest.fixture(scope="session")
def troubled(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two workers, one of them busy; losses, drops, cut short; names that would break a page."""
    maker = made.Maker(lost=0.02, workers=2, busy=65.0, seed=3)
    maker.drop(12.5, "<script>alert(1)</script>")
    target = made.manifest().target | {
        "notes": ["The server's rate limit was raised for this run & <others>."]
    }
    path = maker.write(tmp_path_factory.mktemp("reports"), complete=False, id="badcafe0", target=target)
    return runs.read(path)


def page_of(*shown: Run) -> str:
    return render(shown, [summarise(run) for run in shown])
