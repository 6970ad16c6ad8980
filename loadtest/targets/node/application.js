// Which parts make the server, and which request goes through which door?
import { createServer } from "node:http";

import { Actions, calibrationActions } from "./actions.js";
import { adminRoutes, instrument } from "./admin.js";
import { httpListener } from "./answers.js";
import { callRoutes } from "./call_rest.js";
import { Calling } from "./calling.js";
import { buildCore } from "./core.js";
import { Domains } from "./domains.js";
import { Gateway } from "./gateway.js";
import { Hooks } from "./hooks.js";
import { Local } from "./local.js";
import { Messaging } from "./messaging.js";
import { messagingRoutes } from "./messaging_rest.js";
import { require } from "./packages.js";
import { presenceRoutes } from "./presence_rest.js";
import { PresenceWatch } from "./presence_watch.js";
import { Rest } from "./rest.js";
import { Shared } from "./shared.js";
import { State } from "./state.js";
import { Support } from "./support.js";
import { supportRoutes } from "./support_rest.js";

const { Server } = require("socket.io");
const SOCKET_PATH = "/socket.io";
const KEEP_ALIVE_MS = 65_000;

export class Application {
  #settings;

  // `sharing`: what there is to share with other servers, as sharing.js says.
  constructor(settings, sharing) {
    this.#settings = settings;
    this.io = new Server(ioOptions(settings, sharing.adapter));
    this.core = buildCore(settings, this.io, sharing);
    // PresenceWatch comes first: the others ask `presence` who is here.
    const parts = [PresenceWatch, Messaging, Calling, Support].map((Part) => new Part(this.core));
    this.domains = new Domains(parts);
    const rows = [...this.domains.actions(), ...calibrationActions(this.core.clock)];
    const actions = new Actions(rows, this.core.counters, this.core.clock);
    const state = new State(this.core, actions, this.domains);
    this.way = sharing.redis === undefined ? new Local(this.core, state) : new Shared(this.core, state, sharing);
    this.gateway = new Gateway(this.core, actions, this.way);
    this.way.onGivenUp = (lost) => this.gateway.hangUp(lost);
    this.rest = new Rest(this.core, this.way);
    this.http = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, this.#listener());
    if (settings.enableWebsocket) this.io.attach(this.http);
    this.#guardUpgrades();
    if (settings.adminUi) instrument(this.io);
  }

  #routes() {
    const { rest, core, gateway, domains, way } = this;
    return [
      ...rest.routes(),
      ...presenceRoutes(rest),
      ...messagingRoutes(rest),
      ...callRoutes(rest),
      ...supportRoutes(rest),
      ...(this.#settings.testHooks ? new Hooks(core, rest, gateway, domains, way).routes() : []),
      ...(this.#settings.adminUi ? adminRoutes() : []),
    ];
  }

  // Everything but Socket.IO, which looks at its path before this is asked.
  #listener() {
    const { enableWebsocket, corsOrigin } = this.#settings;
    const listener = httpListener(this.#routes(), corsOrigin);
    if (enableWebsocket) return listener;
    return (request, response) => {
      if (!request.url.startsWith(SOCKET_PATH)) return listener(request, response);
      response.writeHead(404, { "Content-Type": "application/json" }).end(JSON.stringify(DISABLED));
    };
  }

  // Socket.IO's own way to refuse an upgrade is a 400, and it lets those to other paths wait for a second.
  #guardUpgrades() {
    const [attached] = this.http.listeners("upgrade");
    this.http.removeAllListeners("upgrade");
    this.http.on("upgrade", (request, socket, head) => {
      const ours = attached !== undefined && `${request.url.split("?")[0]}/`.startsWith(`${SOCKET_PATH}/`);
      if (!ours) refuseUpgrade(socket, "404 Not Found", DISABLED);
      else if (this.core.faults.strikes("refuseUpgrade")) {
        refuseUpgrade(socket, "503 Service Unavailable", { code: "UPGRADE_REFUSED" });
      } else attached(request, socket, head);
    });
  }
}

const DISABLED = { code: "WEBSOCKET_DISABLED" };

function ioOptions(settings, adapter) {
  return {
    path: SOCKET_PATH,
    serveClient: false,
    pingInterval: settings.pingIntervalMs,
    pingTimeout: settings.pingTimeoutMs,
    maxHttpBufferSize: settings.maxHttpBufferBytes,
    perMessageDeflate: settings.websocketCompression,
    cors: { origin: settings.corsOrigin },
    ...(settings.recovery && { connectionStateRecovery: {} }),
    ...(adapter && { adapter }),
  };
}

function refuseUpgrade(socket, status, body) {
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}`;
  socket.on("error", () => {});
  socket.end(`${head}\r\nConnection: close\r\n\r\n${text}`);
}
