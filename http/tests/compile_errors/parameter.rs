//~ `fn(u32) -> &'static str {handler}` is no handler for an app whose state is `()`
//~ each parameter is `FromHead<()>`: Path, Query, State,
use lakh_http::App;

fn handler(_: u32) -> &'static str {
    ""
}

pub fn app() -> App {
    App::new().get("/", handler)
}
