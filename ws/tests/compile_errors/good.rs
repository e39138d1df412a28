//! Everything that a handler may be.

use lakh_http::{App, extract::{Path, State}};
use lakh_ws::{Callbacks, Payload, Socket, WebSocket, WebSocketRoutes, callbacks};

struct Echo(String);

impl Callbacks for Echo {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let _ = socket.send(message);
    }
}

async fn receive(mut socket: WebSocket, State(_): State<u32>, Path(_): Path<String>) {
    while socket.recv().await.is_some() {}
}

pub fn app() -> App<u32> {
    App::with_state(7)
        .ws("/{a}", receive)
        .ws("/b", async |_: WebSocket| {})
        .ws("/c/{name}", callbacks(|Path(name): Path<String>| Echo(name)))
}
