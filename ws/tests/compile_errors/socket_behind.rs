//~ is no WebSocket handler for an app whose state is `()`
//~ its first parameter is the `WebSocket`

use lakh_http::{App, extract::Path};
use lakh_ws::{WebSocket, WebSocketRoutes};

async fn handler(_: Path<String>, _: WebSocket) {}

pub fn app() -> App {
    App::new().ws("/{a}", handler)
}
