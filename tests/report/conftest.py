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


def load(name: str, path: Path) -> ModuleType:
    """A file of tests that is no package's member."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def made() -> ModuleType:
    return load("loadtest_tests_made", Path(__file__).parents[1] / "analysis" / "made.py")


@pytest.fixture(scope="session")
def lively() -> ModuleType:
    return load("loadtest_tests_lively", Path(__file__).with_name("lively.py"))


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


@pytest.fixture(scope="session")
def dropped(made: ModuleType, lively: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A storm, an outage that lasted, and losses of every fate."""
    run: Run = lively.dropped(made, tmp_path_factory.mktemp("reports"))
    return run


@pytest.fixture(scope="session")
def conversing(made: ModuleType, lively: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Calls, live chats, two devices, upgrades; not a single message."""
    run: Run = lively.conversing(made, tmp_path_factory.mktemp("reports"))
    return run


def page_of(*shown: Run) -> str:
    return render(shown, [summarise(run) for run in shown])
