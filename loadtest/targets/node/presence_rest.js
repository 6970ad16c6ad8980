// How does a polling client ask who is here?
import { answer, get } from "./answers.js";

export function presenceRoutes(rest) {
  const presence = async (request) => {
    const userIds = (request.query.get("userIds") ?? "").split(",");
    return answer(await rest.performWith(request, "presence:get", { userIds }));
  };
  return [get("/api/presence", presence)];
}
