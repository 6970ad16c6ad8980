// How does a polling client join, say, read and look up messages?
import { answer, get, post, wholeParameter } from "./answers.js";
import { isConversationId } from "./fields.js";
import { Refusal } from "./refusal.js";
import { DEFAULT_PAGE, PAGE_LIMIT } from "./rest.js";

export function messagingRoutes(rest) {
  const history = async (request) => {
    const poller = rest.poller(request);
    const { id } = request.params;
    if (!isConversationId(id)) throw new Refusal("NOT_FOUND", "there is no such conversation");
    const limit = wholeParameter(request, "limit", DEFAULT_PAGE, 1, PAGE_LIMIT);
    const afterSeq = wholeParameter(request, "afterSeq", 0, 0, 2 ** 53);
    return answer(await rest.ask("history", poller, [id, afterSeq, limit]));
  };
  const send = async (request) => {
    const { duplicate, ...ack } = await rest.perform(request, "message:send");
    return duplicate ? answer({ ...ack, duplicate }) : answer(ack, 201);
  };
  const typing = async (request) => {
    rest.poller(request); // who may not ask is told so before what was wrong with the question
    const payload = await rest.body(request);
    const state = payload?.state;
    if (state !== "start" && state !== "stop") throw new Refusal("PAYLOAD_INVALID", "state must be start or stop");
    await rest.performWith(request, `typing:${state}`, payload);
    return { status: 204 };
  };
  return [
    rest.feed("/api/messages/feed", "messages"),
    get("/api/conversations/:id/messages", history),
    rest.action("POST", "/api/rooms/join", "joinRoom"),
    rest.action("POST", "/api/rooms/leave", "leaveRoom"),
    post("/api/messages", send),
    rest.action("POST", "/api/messages/read", "message:read"),
    post("/api/typing", typing),
  ];
}
