//! Finds unknown members of a body: those that the handler has not asked for. In administrators' calls they are mistakes, so
//! that a misspelt `maxSeatPerBuyer` is refused instead of ignored. Must never need a list of names beside the code that reads
//! them: the list would fall behind the code.

use crate::http::extract::mistakes::Mistakes;
use crate::spelling;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Which members were asked for of each object of a body, by the object's path.
#[derive(Debug, Default)]
pub(super) struct AskedMembers(Mutex<BTreeMap<String, Members>>);

#[derive(Debug, Default)]
struct Members {
    names: BTreeSet<String>,
    /// Its members are named by the caller, so all are known.
    is_free: bool,
}

impl AskedMembers {
    /// The object at `path` is read.
    pub(super) fn object(&self, path: &str) {
        self.0.lock().entry(path.to_owned()).or_default();
    }

    /// A member of the object at `path` is asked for.
    pub(super) fn member(&self, path: &str, name: &str) {
        let mut all = self.0.lock();
        let members = match all.get_mut(path) {
            Some(members) => members,
            None => all.entry(path.to_owned()).or_default(),
        };
        if !members.names.contains(name) {
            members.names.insert(name.to_owned());
        }
    }

    /// All members of the object at `path` are listed: whatever they are called, they are known.
    pub(super) fn every_member(&self, path: &str) {
        self.0.lock().entry(path.to_owned()).or_default().is_free = true;
    }

    /// Adds a mistake for every member of `value`, at any depth that was read, that was not asked for.
    pub(super) fn refuse_others(&self, value: &Value, mistakes: &mut Mistakes) {
        refuse(&self.0.lock(), String::new(), value, mistakes);
    }
}

fn refuse(asked: &BTreeMap<String, Members>, path: String, value: &Value, mistakes: &mut Mistakes) {
    if let Value::Array(items) = value {
        for (number, item) in items.iter().enumerate() {
            refuse(asked, format!("{path}[{number}]"), item, mistakes);
        }
        return;
    }
    // An object that was never read here, such as a drawn plan, is checked by its own reader.
    let (Value::Object(members), Some(known)) = (value, asked.get(&path)) else { return };
    for (name, value) in members {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if known.is_free || known.names.contains(name) {
            refuse(asked, at, value, mistakes);
        } else {
            let meant = spelling::nearest(name, known.names.iter().map(String::as_str));
            mistakes.add(at, format!("unknown member{}", spelling::hint(meant)));
        }
    }
}
