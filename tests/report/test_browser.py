"""The page in a real browser: no complaint, nothing wider than the window."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lacking import lacking

from loadtest.analysis.summary import summarise
from loadtest.measure.run import Run
from loadtest.report.render import render

pytestmark = pytest.mark.browser

WIDTHS = (1200, 400)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--enable-logging=stderr", "--log-level=0", "--window-size=1600,1200", "--virtual-time-budget=10000",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "chromium is not installed (Debian: apt-get install chromium)"
        lacking(reason)
    return found


def look(chromium: str, page: str, folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Show the page in a frame of each width. Returns (what is too wide, by width; what the console said)."""
    frames = "".join(
        f'<iframe data-width="{width}" width="{width}" height="4000" style="border:0"'
        f' srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    script = """
      addEventListener('load', () => {
        const found = {};
        for (const frame of document.querySelectorAll('iframe')) {
          const inside = frame.contentDocument, limit = inside.documentElement.clientWidth;
          const wide = [...inside.querySelectorAll('body *')].filter(
            one => one.getBoundingClientRect().right > limit + 0.5
              && !one.closest('.scroll') && !one.closest('svg') && !one.closest('.unseen'));
          found[frame.dataset.width] = wide.map(one => one.tagName + '.' + one.className);
          if (inside.documentElement.scrollWidth > limit) found[frame.dataset.width].push('the page');
          if (limit !== Number(frame.dataset.width)) found[frame.dataset.width].push('frame of ' + limit);
        }
        document.body.innerHTML = '<pre id="found">' + JSON.stringify(found) + '</pre>';
      });"""
    wrapper = folder / "wrapper.html"
    wrapper.write_text(f"<!doctype html><body>{frames}<script>{script}</script>", encoding="utf-8")
    ended = subprocess.run(
        [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", wrapper.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', ended.stdout)
    assert found, ended.stderr[-2000:]
    return json.loads(html.unescape(found[1])), re.findall(r".*CONSOLE.*", ended.stderr)


def test_no_overflow_and_no_complaint(
    chromium: str,
    tmp_path: Path,
    push: Run,
    polling: Run,
    troubled: Run,
    dropped: Run,
    conversing: Run,
) -> None:
    for index, shown in enumerate(
        ([troubled], [push, polling], [dropped], [conversing], [dropped, conversing])
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        page = render(shown, [summarise(run) for run in shown])
        too_wide, console = look(chromium, page, folder)
        assert too_wide == {str(width): [] for width in WIDTHS}
        assert console == []


def test_the_look_would_notice(chromium: str, tmp_path: Path) -> None:
    """The same look at a page that is too wide and complains."""
    page = "<!doctype html><body><p style='width:3000px'>x</p><script>console.error('no')</script>"
    too_wide, console = look(chromium, page, tmp_path)
    assert all("P." in found for found in too_wide.values())
    assert len(console) == len(WIDTHS)
