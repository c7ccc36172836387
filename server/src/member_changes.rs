//! Which members of something differ, by their paths, with what they were and are, for the audit log. Must never leave one
//! out that differs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One member that differs; `null` is one that is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberChange {
    /// Its path, such as `prices.VIP`.
    pub member: String,
    /// What it was.
    pub from: Value,
    /// What it is.
    pub to: Value,
}

/// Every member that differs, in the order of their paths.
#[must_use]
pub fn member_changes(before: &Value, after: &Value) -> Vec<MemberChange> {
    let (mut was, mut is) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), before, &mut was);
    flatten(String::new(), after, &mut is);
    let mut members: Vec<&String> = was.keys().chain(is.keys()).collect();
    members.sort_unstable();
    members.dedup();
    let value = |of: &BTreeMap<String, Value>, member: &String| of.get(member).cloned().unwrap_or(Value::Null);
    let changes = members.into_iter().map(|member| MemberChange {
        from: value(&was, member),
        to: value(&is, member),
        member: member.clone(),
    });
    changes.filter(|change| change.from != change.to).collect()
}

fn flatten(path: String, value: &Value, into: &mut BTreeMap<String, Value>) {
    let Value::Object(members) = value else {
        // Nothing is no member of its own.
        if !path.is_empty() {
            into.insert(path, value.clone());
        }
        return;
    };
    for (name, value) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        flatten(path, value, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_member_that_differs_is_named_and_no_other() {
        let before = json!({ "title": "a", "prices": { "VIP": 5, "S": 3 }, "limit": null, "gone": [1] });
        let after = json!({ "title": "a", "prices": { "VIP": 6, "S": 3, "R": 1 }, "limit": 7 });
        let found: Vec<String> = member_changes(&before, &after)
            .iter()
            .map(|change| format!("{} {} {}", change.member, change.from, change.to))
            .collect();
        assert_eq!(found, ["gone [1] null", "limit null 7", "prices.R null 1", "prices.VIP 5 6"]);
        assert_eq!(member_changes(&after, &after), []);
        assert_eq!(member_changes(&Value::Null, &json!({ "a": 1, "b": null })).len(), 1);
        assert_eq!(member_changes(&json!({ "a": 1 }), &Value::Null).len(), 1);
    }
}
