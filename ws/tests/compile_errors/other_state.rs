//~ is no WebSocket handler for an app whose state is `()`
//~ for `State<T>`, `T` is the app's state, or is `FromState<()>`

use lakh_http::{App, extract::State};
use lakh_ws::{WebSocket, WebSocketRoutes};

async fn handler(_: WebSocket, _: State<u32>) {}

pub fn app() -> App {
    App::new().ws("/", handler)
}
