//~ is no WebSocket handler for an app whose state is `()`
//~ each further parameter is `FromHead<()>`: Path, Query, State,
//~ a handshake has no body

use lakh_http::App;
use lakh_ws::{WebSocket, WebSocketRoutes};

async fn handler(_: WebSocket, _: String) {}

pub fn app() -> App {
    App::new().ws("/", handler)
}
