//~ is no handler for an app whose state is `()`
//~ for `State<T>`, `T` is the app's state, or is `FromState<()>`
use lakh_http::{App, extract::State};

#[derive(Clone)]
struct Db;

async fn handler(_: State<Db>) -> &'static str {
    ""
}

pub fn app() -> App {
    App::new().get("/", handler)
}
