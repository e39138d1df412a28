//~ is no check of `Credentials`
//~ gives `Option<User>` or `HandlerResult<Option<User>>`
use lakh_http::{App, middleware::{BasicAuth, Credentials}};

fn check(given: Credentials) -> bool {
    given.password_is("secret")
}

pub fn app() -> App {
    App::new().wrap(BasicAuth::new("staff", check))
}
