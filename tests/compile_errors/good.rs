use lakh::{
    http::App,
    ws::{WebSocket, WebSocketRoutes},
};

pub fn app() -> App {
    App::new().ws("/", async |_: WebSocket| {})
}
