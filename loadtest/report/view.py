"""What does the page say? Everything in words and pictures, ready to be set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loadtest.analysis.floors import Floors
from loadtest.analysis.summary import Summary
from loadtest.measure.run import Run
from loadtest.report.sections import head
from loadtest.report.sections.bandwidth import LEVELS, BandwidthSection, bandwidth
from loadtest.report.sections.calls import Calls, calls
from loadtest.report.sections.completeness import Completeness, completeness
from loadtest.report.sections.connections import ConnectionsSection, connections
from loadtest.report.sections.devices import Devices, devices
from loadtest.report.sections.floors import Beneath, beneath
from loadtest.report.sections.head import Tile, Verdict
from loadtest.report.sections.health import Health, health
from loadtest.report.sections.latency import Latency, latency
from loadtest.report.sections.live_chat import LiveChat, live_chat
from loadtest.report.sections.ratios import Versus, ratios
from loadtest.report.sections.reconnection import ReconnectionSection, reconnection
from loadtest.report.sections.reproduce import Recipe, reproduce
from loadtest.report.sections.server import Server, server
from loadtest.report.sections.spread import SpreadSection, spread
from loadtest.report.sections.stages import Stages, stages
from loadtest.report.sections.verdicts import Verdicts, verdicts
from loadtest.report.subject import subjects


class Page(NamedTuple):
    """The parts of the page in their order; None: nothing to say, left out whole."""

    title: str
    subtitle: list[str]
    verdicts: list[Verdict]
    asked: Verdicts | None
    tiles: list[Tile]
    versus: list[Versus]
    latency: Latency
    stages: Stages | None
    completeness: Completeness
    reconnection: ReconnectionSection | None
    calls: Calls | None
    live_chat: LiveChat | None
    devices: Devices | None
    bandwidth: BandwidthSection
    levels: str
    connections: ConnectionsSection
    spread: SpreadSection | None
    server: Server | None
    floors: list[Beneath]
    health: Health
    recipes: list[Recipe]


def view(runs: Sequence[Run], summaries: Sequence[Summary], floors: Sequence[Floors | None] = ()) -> Page:
    """The page of one run, or of several side by side; floors: of each run, as far as they were measured."""
    shown = subjects(runs, summaries)
    return Page(
        head.title(shown),
        head.subtitle(shown),
        [head.verdict(one) for one in shown],
        verdicts(shown),
        head.tiles(shown),
        ratios(shown),
        latency(shown),
        stages(shown),
        completeness(shown),
        reconnection(shown),
        calls(shown),
        live_chat(shown),
        devices(shown),
        bandwidth(shown),
        LEVELS,
        connections(shown),
        spread(shown),
        server(shown),
        beneath(shown, floors),
        health(shown),
        reproduce(shown),
    )
