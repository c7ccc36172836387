//! Which members of a body a handler has asked for: what is there beside them is unknown, and named as a mistake where
//! administrators call, so that `maxSeatPerBuyer` does not sell four. Must never need a list of names beside the code that
//! reads them, which would fall behind it.

use crate::http::fields::Mistakes;
use crate::near;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was asked of each object of a body, by the object's path.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<BTreeMap<String, Members>>);

#[derive(Debug, Default)]
struct Members {
    names: BTreeSet<String>,
    /// Its members have names of the caller's own.
    is_free: bool,
}

impl Asked {
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
    // What nobody looked into, such as a drawn plan, is read elsewhere.
    let (Value::Object(members), Some(known)) = (value, asked.get(&path)) else { return };
    for (name, value) in members {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if known.is_free || known.names.contains(name) {
            refuse(asked, at, value, mistakes);
        } else {
            let meant = near::nearest(name, known.names.iter().map(String::as_str));
            mistakes.add(at, format!("unknown member{}", near::hint(meant)));
        }
    }
}
