//~ is no WebSocket handler for an app whose state is `()`
//~ a WebSocket handler is an async function

use lakh_http::App;
use lakh_ws::{WebSocket, WebSocketRoutes};

fn handler(_: WebSocket) {}

pub fn app() -> App {
    App::new().ws("/", handler)
}
