"""How does a user reach the server, and with which headers?"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

import msgspec

from loadtest.contract.header import Header
from loadtest.contract.path import JsonPath
from loadtest.contract.table import Expect, Given, Status, Table, Url, text
from loadtest.contract.template import Template, TextTemplate, Variables

_MAIN: Final = TextTemplate.parse("/", url=True)


class Health(Table, frozen=True, kw_only=True):
    """The route that tells that the server is up, and its answer. Without ``json`` any body will do."""

    path: Annotated[str, Url]
    status: Status = 200
    json: object = None

    def ok(self, status: int, body: object) -> bool:
        """Whether this is the answer of a healthy server of this contract."""
        return status == self.status and (self.json is None or body == self.json)


class ConfigRoute(Table, frozen=True, kw_only=True):
    """Where the server announces itself: whether sockets are on, and who steers faults on the way to it."""

    path: Annotated[str, Url]
    websocket_at: JsonPath | None = msgspec.field(default=None, name="websocket")
    fault_control_at: JsonPath | None = msgspec.field(default=None, name="fault_control")

    def websocket(self, body: object) -> bool:
        """False only if the server says so in as many words."""
        return self.websocket_at is None or self.websocket_at.read(body) is not False

    def fault_control(self, body: object) -> str | None:
        """The control URL of a fault proxy, if there is one."""
        return text(self.fault_control_at, body)


class Connect(Table, frozen=True, kw_only=True):
    """How a socket reaches the server."""

    path: Annotated[str, Url] = "/socket.io"
    namespace_template: Annotated[TextTemplate, Url] = msgspec.field(default=_MAIN, name="namespace")
    query: Mapping[str, TextTemplate] = MappingProxyType({})
    headers: tuple[Header, ...] = ()
    auth_template: Annotated[Template, Expect(dict)] | None = msgspec.field(default=None, name="auth")
    health: Health | None = None
    config: ConfigRoute | None = None

    def namespace(self, variables: Variables) -> str:
        """The namespace to enter."""
        return self.namespace_template.render(variables)

    def query_string(self, variables: Variables) -> str:
        """What Engine.IO's own requests carry beside its own parameters: ``a=b&c=d``; empty for nothing."""
        return urlencode([(name, value.render(variables)) for name, value in self.query.items()])

    def header_lines(self, variables: Variables) -> list[tuple[str, str]]:
        """Names and values that every Engine.IO request and the WebSocket handshake carry, in order."""
        return [(header.name, header.value.render(variables)) for header in self.headers]

    def auth(self, variables: Variables) -> object | None:
        """What CONNECT carries; None where the contract has nothing to say there."""
        return self.auth_template.render(variables) if self.auth_template else None


class Headers(Table, frozen=True, kw_only=True):
    """The headers of every request of a polling user, in order, as a library or as a browser sends them.

    preflight: those of the OPTIONS request by which a browser asks whether a page of another origin may send a
    request at all. Empty: the page comes from the server itself, and nobody asks.
    """

    library: tuple[Header, ...]
    browser: tuple[Header, ...]
    preflight: Annotated[tuple[Header, ...], Given("method", "names")] = ()

    def lines(self, kind: Literal["library", "browser"], variables: Variables) -> list[tuple[str, str]]:
        """Names and values, in order."""
        chosen = self.library if kind == "library" else self.browser
        return [(header.name, header.value.render(variables)) for header in chosen]

    def asking(self, method: str, names: str, variables: Variables) -> list[tuple[str, str]]:
        """Names and values of a preflight for a request of that method with these headers, in order."""
        known = {**variables, "method": method, "names": names}
        return [(header.name, header.value.render(known)) for header in self.preflight]

    def problems(self) -> Iterator[tuple[str, str]]:
        """As in Table."""
        lists = [("library", self.library), ("browser", self.browser)]
        if self.preflight:
            lists.append(("preflight", self.preflight))
        for kind, chosen in lists:
            if not any(header.name.lower() == "host" for header in chosen):
                yield kind, 'no Host among the headers, HTTP/1.1 needs ["Host", "${host}"]'
