// How does a polling client start, take, hold and close a live chat?
export function supportRoutes(rest) {
  return [
    rest.feed("/api/live-chat/feed", "chats"),
    rest.action("POST", "/api/live-chat", "liveChat:start", 201),
    rest.action("PUT", "/api/live-chat/operator-status", "liveChat:operatorStatus"),
    rest.action("POST", "/api/live-chat/:chatId/messages", "liveChat:message", 201),
    rest.action("POST", "/api/live-chat/:chatId/accept", "liveChat:accept"),
    rest.action("POST", "/api/live-chat/:chatId/close", "liveChat:close"),
  ];
}
