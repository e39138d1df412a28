//~ is no handler for an app whose state is `()`
//~ of an async function the last parameter may be `FromRequest<()>` instead: Json, Form, Bytes,
use lakh_http::{App, Bytes};

fn handler(body: Bytes) -> String {
    body.len().to_string()
}

pub fn app() -> App {
    App::new().post("/", handler)
}
