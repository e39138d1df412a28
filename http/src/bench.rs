//! A way for benches to what is private. Not a part of the API.

use crate::{
    app::App,
    proto::{HeadLimits, Parsed, ParsedHead},
    request::ParamSpans,
    router::Router,
};

/// Finds the route of one request, again and again.
#[allow(missing_debug_implementations)]
pub struct Finder<'a> {
    router: Router,
    bytes: &'a [u8],
    head: ParsedHead,
    params: ParamSpans,
}

impl<'a> Finder<'a> {
    /// `bytes` is a whole request head.
    ///
    /// # Panics
    /// If it is not.
    pub fn new(app: App, bytes: &'a [u8]) -> Self {
        let mut head = ParsedHead::default();
        assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete), "a whole head");
        let (router, _) = app.into_router();
        Finder { router, bytes, head, params: ParamSpans::new() }
    }

    /// The number of parameters found; whatever is found goes through the optimiser's hands.
    pub fn find(&mut self) -> usize {
        let found = self.router.find(&self.head, self.bytes, &mut self.params);
        std::hint::black_box(found);
        self.params.len()
    }
}
