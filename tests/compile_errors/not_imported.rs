//~ trait `WebSocketRoutes` which provides `ws` is implemented but not in scope
//~ use lakh::ws::WebSocketRoutes;

use lakh::{http::App, ws::WebSocket};

pub fn app() -> App {
    App::new().ws("/", async |_: WebSocket| {})
}
