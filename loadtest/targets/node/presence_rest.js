// How does a polling client ask who is here?
import { answer, get } from "./answers.js";

export function presenceRoutes(rest) {
  const presence = (request) => {
    const userIds = (request.query.get("userIds") ?? "").split(",");
    return answer(rest.performWith(request, "presence:get", { userIds }));
  };
  return [get("/api/presence", presence)];
}
