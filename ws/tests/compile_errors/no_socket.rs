//~ is no WebSocket handler for an app whose state is `()`
//~ a WebSocket handler is an async function; its first parameter is the `WebSocket`

use lakh_http::{App, extract::Path};
use lakh_ws::WebSocketRoutes;

async fn handler(_: Path<String>) {}

pub fn app() -> App {
    App::new().ws("/{a}", handler)
}
