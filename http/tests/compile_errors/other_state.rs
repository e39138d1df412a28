//~ is no handler for an app whose state is `String`
//~ for `State<T>`, `T` is the app's state, or is `FromState<String>`
use lakh_http::{App, extract::State};

fn handler(_: State<u32>) -> &'static str {
    ""
}

pub fn app() -> App<String> {
    App::with_state(String::new()).get("/", handler)
}
