//~ `Mine` is no middleware
//~ middleware is an async function of `Request` and `Next` whose result is `IntoResponse`
use lakh_http::App;

struct Mine;

pub fn app() -> App {
    App::new().wrap(Mine)
}
