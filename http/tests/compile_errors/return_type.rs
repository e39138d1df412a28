//~ is no handler for an app whose state is `()`
//~ what it returns is `IntoResponse`: as a function `-> impl IntoResponse` it is told what of that is not
use lakh_http::App;

struct Mine;

fn handler() -> Mine {
    Mine
}

pub fn app() -> App {
    App::new().get("/", handler)
}
