//! Values that middleware leaves with a request, found by their type.

use std::{
    any::{Any, TypeId},
    fmt,
};

/// At most one value of each type. Empty, it takes a pointer's room and no allocation.
#[derive(Default)]
pub(crate) struct Extensions(Vec<(TypeId, Box<dyn Any>)>);

impl Extensions {
    /// Leaves a value, in the place of another of its type.
    pub(crate) fn insert<T: 'static>(&mut self, value: T) {
        let value = Box::new(value);
        match self.0.iter_mut().find(|(id, _)| *id == TypeId::of::<T>()) {
            Some(entry) => entry.1 = value,
            None => self.0.push((TypeId::of::<T>(), value)),
        }
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    pub(crate) fn remove<T: 'static>(&mut self) -> Option<T> {
        let at = self.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.0.swap_remove(at).1.downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type() {
        let mut extensions = Extensions::default();
        extensions.insert(1_u8);
        extensions.insert("text");
        extensions.insert(2_u8);
        assert_eq!((extensions.get::<u8>(), extensions.get::<&str>()), (Some(&2), Some(&"text")));
        assert_eq!((extensions.remove::<u8>(), extensions.remove::<u8>()), (Some(2), None));
    }
}
