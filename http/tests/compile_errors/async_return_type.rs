//~ is no handler for an app whose state is `()`
//~ what it returns is `IntoResponse`
use lakh_http::App;

async fn handler() -> u32 {
    7
}

pub fn app() -> App {
    App::new().get("/", handler)
}
