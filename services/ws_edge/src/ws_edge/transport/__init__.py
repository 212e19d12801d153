"""HTTP and WebSocket: Sanic serves, picows frames."""
