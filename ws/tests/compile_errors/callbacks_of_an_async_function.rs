//~ or it is `callbacks(f)`, where `f` is a plain function

use lakh_http::App;
use lakh_ws::{Callbacks, Payload, Socket, WebSocketRoutes, callbacks};

struct Echo;

impl Callbacks for Echo {
    fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
}

pub fn app() -> App {
    App::new().ws("/", callbacks(async || Echo))
}
