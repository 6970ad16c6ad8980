// How does a polling client call, and hear that it is called?
export function callRoutes(rest) {
  return [
    rest.feed("/api/calls/feed", "calls"),
    rest.action("POST", "/api/calls", "call:initiate", 201),
    rest.action("GET", "/api/calls/:callId", "call:status"),
    rest.action("POST", "/api/calls/:callId/answer", "call:answer"),
    rest.action("POST", "/api/calls/:callId/decline", "call:decline"),
    rest.action("POST", "/api/calls/:callId/end", "call:end"),
  ];
}
