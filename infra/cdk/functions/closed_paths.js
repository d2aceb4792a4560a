// Viewer-request of all but /v1: what is for operators is not for the internet.
var closed = /^\/+metrics\b/i;

function handler(event) {
  if (closed.test(event.request.uri)) {
    return {
      statusCode: 404,
      statusDescription: "Not Found",
      headers: { "content-type": { value: "application/problem+json" }, "cache-control": { value: "no-store" } },
      body: JSON.stringify({ status: 404, code: "not_found", title: "Not Found", type: "/docs/errors#not_found" }),
    };
  }
  return event.request;
}
