//~ is no WebSocket handler for an app whose state is `()`
//~ and it returns `()`, since nobody is left to be told of an error

use lakh_http::App;
use lakh_ws::{SendError, WebSocket, WebSocketRoutes};

async fn handler(socket: WebSocket) -> Result<(), SendError> {
    socket.send("hello").await
}

pub fn app() -> App {
    App::new().ws("/", handler)
}
