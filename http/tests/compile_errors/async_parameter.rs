//~ is no handler for an app whose state is `()`
//~ of an async function the last parameter may be `FromRequest<()>` instead: Json, Form, Bytes,
use lakh_http::App;

struct Mine;

async fn handler(_: Mine) -> &'static str {
    ""
}

pub fn app() -> App {
    App::new().get("/", handler)
}
