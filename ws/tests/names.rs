//! What `use lakh_ws::*` brings in, and what it leaves alone.

use lakh_ws::*;

/// A name of a glob import would take the place of one that every program has.
fn is_of_the_prelude<T: Send + Sync + Unpin + Clone>(value: Option<T>) -> Result<Box<T>, SendError> {
    value.map(Box::new).ok_or(SendError::Full)
}

#[test]
fn the_preludes_names_are_still_the_preludes() {
    assert_eq!(is_of_the_prelude(Some(1)), Ok(Box::new(1)));
}
