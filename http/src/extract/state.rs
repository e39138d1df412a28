use super::FromHead;
use crate::request::Head;
use std::convert::Infallible;

/// The app's state ([`App::with_state`](crate::App::with_state)), or a part of it.
///
/// Each shard has its own, made by the server's factory, so it need not be `Send`; what all shards share
/// is an `Arc` that the factory clones. A handler gets a clone: let large states be `Rc`s.
///
/// ```
/// use lakh_http::{App, extract::{FromState, State}};
/// use std::{cell::Cell, rc::Rc};
///
/// struct Service {
///     name: String,
///     hits: Rc<Cell<u64>>,
/// }
///
/// impl FromState<Service> for Rc<Cell<u64>> {
///     fn from_state(service: &Service) -> Self {
///         Rc::clone(&service.hits)
///     }
/// }
///
/// let service = Service { name: "counter".into(), hits: Rc::default() };
/// let app = App::with_state(service).get("/", |State(hits): State<Rc<Cell<u64>>>| {
///     hits.set(hits.get() + 1);
///     hits.get().to_string()
/// });
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct State<T>(pub T);

/// A value that can be had from an app's state: the state itself if it is `Clone`, or a part of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of the app's state `{S}`",
    note = "give the app this state with `App::with_state`, or implement `FromState<{S}>` for `{Self}`"
)]
pub trait FromState<S> {
    /// Takes (mostly: clones) it out of the state.
    fn from_state(state: &S) -> Self;
}

impl<S: Clone> FromState<S> for S {
    fn from_state(state: &S) -> Self {
        state.clone()
    }
}

impl<S, T: FromState<S>> FromHead<S> for State<T> {
    type Rejection = Infallible;

    #[inline]
    fn from_head(_: &Head<'_>, state: &S) -> Result<Self, Infallible> {
        Ok(State(T::from_state(state)))
    }
}
