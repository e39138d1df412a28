//~ or it is `callbacks(f)`, where `f` is a plain function of such parameters that returns what implements `Callbacks`

use lakh_http::App;
use lakh_ws::{WebSocketRoutes, callbacks};

pub fn app() -> App {
    App::new().ws("/", callbacks(|| 5))
}
