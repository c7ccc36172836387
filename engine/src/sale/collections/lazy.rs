//! Parts of a sale that an idle one does not need: a pointer until they are first written, and empty to whoever reads them
//! before.
//! Must never be written to in order to read.

use std::ops::{Deref, DerefMut};

/// What has an empty one to lend.
pub(crate) trait Empty: Default + 'static {
    /// Nothing, for readers.
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
    /// To be written to if it was before, and so not empty.
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
