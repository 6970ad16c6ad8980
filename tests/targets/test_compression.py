"""A connection that agreed to compress gets the same text as one that did not."""

from typing import Any

import pytest
import websockets.sync.client

from loadtest.targets.reference.engine import _text_of, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_a_frame_gives_its_text_back(size: int) -> None:
    text = b"x" * size
    assert _text_of(text_frame(text)) == text


@pytest.mark.parametrize("wanted", [True, False])
def test_the_server_compresses_only_if_it_is_told_to(start: Any, wanted: bool) -> None:
    server = start(WEBSOCKET_COMPRESSION="true" if wanted else "false")
    url = server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    with websockets.sync.client.connect(url, compression="deflate") as connection:
        assert bool(connection.protocol.extensions) is wanted
        assert str(connection.recv()).startswith('0{"sid"')
        connection.send("40")
        assert str(connection.recv()).startswith('40{"sid"')
