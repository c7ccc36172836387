//! Parts of a sale that an idle one does not need: a null pointer until the first write, and empty to readers before that. Must
//! never allocate in order to read.

use std::ops::{Deref, DerefMut};

/// A type with a shared empty value.
pub(crate) trait Empty: Default + 'static {
    /// The empty value, for readers.
    fn empty() -> &'static Self;
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Lazy<T>(Option<Box<T>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<T> for Lazy<T> {
    fn from(part: T) -> Self {
        Self(Some(Box::new(part)))
    }
}

impl<T> Lazy<T> {
    /// The part, if it was ever written to; does not allocate it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T: Empty> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(part) => part,
            None => T::empty(),
        }
    }
}

impl<T: Empty> DerefMut for Lazy<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
