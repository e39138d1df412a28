//~ is no handler for an app whose state is `()`
//~ what it returns is `IntoResponse`
use lakh_http::App;

struct Mine;

fn handler() -> Mine {
    Mine
}

pub fn app() -> App {
    App::new().get("/", handler)
}
