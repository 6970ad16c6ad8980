"""Does a session move from long-polling to WebSocket without losing, doubling or reordering anything?

Against a model of the official server, with every request, answer and segment taking its time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from loadtest.protocol import (
    Client,
    ClientEvent,
    Connected,
    Event,
    Opened,
    PollingClient,
    ProtocolError,
    State,
    Upgrade,
)

SEPARATOR = b"\x1e"
OPEN = b'0{"sid":"e","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}'


class Server:
    """One session. ``out`` waits for a way to the client, ``got`` are the packets that came, in order."""

    def __init__(self) -> None:
        self.ws = ServerProtocol()
        self.out: list[bytes] = [OPEN]
        self.got: list[bytes] = []
        self.hanging = False
        self.probed = self.upgraded = False

    def get(self) -> None:
        assert not self.hanging, "two polls at once"
        assert not self.upgraded, "a poll after the upgrade"
        self.hanging = True

    def post(self, body: bytes) -> None:
        assert not self.upgraded, "a POST after the upgrade"
        for packet in body.split(SEPARATOR):
            self.take(packet)

    def take(self, packet: bytes) -> None:
        self.got.append(packet)
        if packet == b"40":
            self.out.append(b'40{"sid":"s"}')

    def answer(self, count: int) -> bytes:
        """The answer to the hanging poll: ``count`` of what waits, or the noop of an upgrade."""
        assert self.hanging
        self.hanging = False
        packets, self.out = self.out[:count], self.out[count:]
        return SEPARATOR.join(packets or [b"6"])

    def receive(self, data: bytes) -> None:
        """Bytes on the WebSocket."""
        self.ws.receive_data(data)
        for event in self.ws.events_received():
            if isinstance(event, Request):
                assert event.path == "/socket.io/?EIO=4&transport=websocket&sid=e"
                self.ws.send_response(self.ws.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.frame(bytes(event.data))

    def frame(self, text: bytes) -> None:
        if text == b"2probe":
            assert not self.probed
            self.probed = True
            self.ws.send_text(b"3probe")
        elif text == b"5":
            assert self.probed
            assert not self.hanging, "it moved while a poll was under way"
            self.upgraded = True
            self.flush()
        else:
            assert self.upgraded, "spoken before the upgrade was done"
            self.take(text)

    def say(self, packet: bytes) -> None:
        self.out.append(packet)
        if self.upgraded:
            self.flush()

    def flush(self) -> None:
        for packet in self.out:
            self.ws.send_text(packet)
        self.out.clear()


class World:
    """Both ends, and what is under way between them. Each step moves one thing."""

    def __init__(self) -> None:
        self.server = Server()
        self.polling = PollingClient()
        self.polling.open()
        self.upgrade: Upgrade | None = None
        self.client: Client | None = None
        self.get_way: bool = False
        self.post_way: list[bytes] = []
        self.poll_answer: list[bytes] = []
        self.post_answer = 0
        self.up = self.down = b""
        self.events: list[ClientEvent] = []
        self.emitted = self.sent = 0
        self.failed = False
        self.pump()

    @property
    def session(self) -> Client | PollingClient:
        return self.client or self.polling

    def pump(self) -> None:
        if self.client is None:
            post, target = self.polling.start_post(), self.polling.start_poll()
            if post is not None:
                self.post_way.append(post.body)
            self.get_way = self.get_way or target is not None
            if self.upgrade is None and self.polling.engine_sid is not None:
                self.upgrade = Upgrade(self.polling, "ws://127.0.0.1:3000")
                self.upgrade.open()
            if self.upgrade is not None and self.upgrade.ready:
                self.client = self.upgrade.finish()
        carrier = self.client or self.upgrade
        if carrier is not None:
            self.up += b"".join(carrier.data_to_send())

    def steps(self) -> dict[str, Callable[[], None]]:
        """What can happen next."""
        server, found = self.server, dict[str, Callable[[], None]]()
        if self.get_way:
            found["GET arrives"] = self._get
        if server.hanging and (server.out or (server.probed and not server.upgraded)):
            found["poll is answered"] = self._answer
        if self.poll_answer:
            found["answer arrives"] = self._polled
        if self.post_way:
            found["POST arrives"] = self._post
        if self.post_answer:
            found["POST's answer arrives"] = self._posted
        if self.up:
            found["segment up"] = self._segment_up
        if self.down:
            found["segment down"] = self._segment_down
        return found

    def _get(self) -> None:
        self.get_way = False
        self.server.get()

    def _answer(self) -> None:
        self.poll_answer.append(self.server.answer(2))

    def _polled(self) -> None:
        self.events += self.polling.receive_poll(200, self.poll_answer.pop(0), 5)
        self.pump()

    def _post(self) -> None:
        self.server.post(self.post_way.pop(0))
        self.post_answer += 1

    def _posted(self) -> None:
        self.post_answer -= 1
        self.events += self.polling.receive_post(200, b"ok", 5)
        self.pump()

    def _segment_up(self) -> None:
        data, self.up = self.up[:40], self.up[40:]
        if not self.failed:
            self.server.receive(data)
            self.down += b"".join(self.server.ws.data_to_send())

    def _segment_down(self) -> None:
        data, self.down = self.down[:30], self.down[30:]
        if self.client is not None:
            self.events += self.client.receive_data(data, 5)
        elif self.upgrade is not None and not self.failed:
            self.upgrade.receive_data(data)
        self.pump()

    def emit(self) -> None:
        if self.session.state is State.CONNECTED:
            self.session.emit("up", self.emitted)
            self.emitted += 1
            self.pump()

    def say(self) -> None:
        if b"40" in self.server.got:
            packet = b"2" if self.sent % 5 == 4 else b'42["down",%d]' % self.sent
            self.server.say(packet)
            self.sent += 1
            self.down += b"".join(self.server.ws.data_to_send())

    def cut(self) -> None:
        """The probe's connection ends, unless the session has moved already."""
        if self.upgrade is None or self.client is not None or self.failed:
            return
        self.failed = True
        self.server.probed = False
        self.up = self.down = b""
        with pytest.raises(ProtocolError):
            self.upgrade.receive_eof()
        self.pump()

    def settle(self) -> None:
        """Until nothing moves any more."""
        while self.turn():
            pass

    def turn(self) -> bool:
        """Each thing that can happen happens once; False if there was none."""
        names = list(self.steps())
        for name in names:
            step = self.steps().get(name)
            if step is not None:
                step()
        return bool(names)

    def check(self) -> None:
        """Everything is there, once and in order, both ways."""
        ups = [json.loads(packet[2:])[1] for packet in self.server.got if packet.startswith(b"42")]
        assert ups == list(range(self.emitted))
        assert self.server.got.count(b"3") == sum(n % 5 == 4 for n in range(self.sent))
        downs = [event.args[0] for event in self.events if isinstance(event, Event)]
        assert downs == [n for n in range(self.sent) if n % 5 != 4]
        assert [type(event) for event in self.events if not isinstance(event, Event)] == [Opened, Connected]
        assert self.session.state is State.CONNECTED


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32), cut_at=st.none() | st.integers(0, 60))
def test_nothing_is_lost_whenever_what_happens(seed: int, cut_at: int | None) -> None:
    # Drawn by a seed: lists that hypothesis draws are mostly too short to come to the middle of an upgrade.
    rng = random.Random(seed)
    world = World()
    for at in range(120):
        if at == cut_at:
            world.cut()
        rng.choice([world.emit, world.say, *world.steps().values()])()
    world.settle()
    world.check()
    assert world.server.upgraded is not world.failed
    world.emit()
    world.say()
    world.settle()
    world.check()


def probing() -> tuple[World, Upgrade]:
    """A session that is open, and an upgrade whose probe is on its way."""
    world = World()
    while not world.server.probed:
        world.turn()
    assert world.upgrade is not None
    return world, world.upgrade


def frame(text: bytes) -> bytes:
    return b"\x81" + bytes([len(text)]) + text


@pytest.mark.parametrize("text", [b"3", b"3prob", b"2", b'42["early"]', b""])
def test_a_wrong_answer_to_the_probe_leaves_the_session_where_it_is(text: bytes) -> None:
    world, upgrade = probing()
    with pytest.raises(ProtocolError, match="not the answer to a probe"):
        upgrade.receive_data(frame(text))
    upgrade.receive_data(b"anything")  # nobody listens any more
    upgrade.receive_eof()
    assert not upgrade.ready
    assert upgrade.data_to_send()[-1][0] == 0x88, "a close frame"
    world.failed, world.server.probed, world.up, world.down = True, False, b"", b""
    world.settle()
    world.emit()
    world.settle()
    world.check()


def test_a_second_frame_while_polling_pauses_is_a_breach() -> None:
    _, upgrade = probing()
    with pytest.raises(ProtocolError, match="not the answer"):
        upgrade.receive_data(frame(b"3probe") + frame(b'42["early"]'))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 18\r\n\r\nSession ID unknown", "Session ID unknown"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "bad answer"),
        (b"junk\r\n\r\n", "does not speak HTTP/1"),
    ],
)
def test_a_refused_upgrade_is_told_and_harms_nothing(answer: bytes, said: str) -> None:
    polling = PollingClient()
    polling.open()
    polling.start_poll()
    polling.receive_poll(200, OPEN, 0)
    upgrade = Upgrade(polling, "ws://127.0.0.1:3000")
    upgrade.open()
    upgrade.data_to_send()
    with pytest.raises(ProtocolError, match=said):
        upgrade.receive_data(answer)
    assert polling.state is State.CONNECTING
    assert polling.start_post() is not None


def test_leaving_while_it_moves_says_goodbye_by_polling() -> None:
    world, upgrade = probing()
    while not (upgrade._step.name == "PAUSING" or world.client):
        world._segment_down()
    assert world.client is None, "a poll hangs: it must wait for that"
    world.polling.disconnect()
    assert not upgrade.ready
    upgrade.abandon()
    world.failed = True
    world.pump()
    while world.polling.state is not State.CLOSED:
        assert world.turn()
    assert world.server.got[-1] == b"1"


def test_the_session_is_the_same_one_afterwards() -> None:
    world = World()
    world.settle()
    polling, client = world.polling, world.client
    assert client is not None
    assert polling.state is State.CLOSED
    assert (client.sid, client.engine_sid, client.max_payload) == ("s", "e", 1000)
    assert (client.last_ping_ns, client.silence_limit_ns) == (5, 45_000_000_000)
    assert client.emit("ask", ack=True) == 0
    assert world.server.got == [b"40"]


def test_acks_are_numbered_on() -> None:
    world = World()
    while world.polling.state is not State.CONNECTED:
        world.turn()
    assert world.client is None
    assert world.polling.emit("ask", ack=True) == 0
    world.settle()
    assert world.client is not None
    assert world.client.emit("ask", ack=True) == 1
