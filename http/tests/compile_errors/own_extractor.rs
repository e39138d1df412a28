//~ `Mine` is no parameter that a handler can have for an app whose state is `()`
//~ implement `FromHead<S>` for it, or, if it needs the body or has to wait, `FromRequest<S>`
use lakh_http::extract::FromHead;

struct Mine;

fn needs<T: FromHead<()>>() {}

pub fn ask() {
    needs::<Mine>();
}
