//! The description of the HTTP interface, OpenAPI 3.1, written by hand beside the code and served as it lies there. A
//! test compares it with the routes, so that neither changes without the other. Must never be generated.

use crate::http::{Context, Problem, Request, Response, Route, response};
use bytes::Bytes;
use http::StatusCode;

/// The document.
const DOCUMENT: &str = include_str!("openapi.json");

/// The route of this family; it has no base path.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![Route::get("/openapi.json", document).public()]
}

async fn document(_: Context, _: Request) -> Result<Response, Problem> {
    Ok(response::json_bytes(StatusCode::OK, Bytes::from_static(DOCUMENT.as_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use crate::http::Access;
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// Method and path of each operation, whether everyone may call it, and whether it takes an idempotency key.
    type Operations = BTreeMap<(String, String), (bool, bool)>;

    fn described(document: &Value) -> Operations {
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| {
                let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
                let names = operation["parameters"].as_array().into_iter().flatten();
                let is_keyed = names.into_iter().any(|name| name["$ref"] == "#/components/parameters/IdempotencyKey");
                ((method.to_uppercase(), path.clone()), (is_public, is_keyed))
            })
        });
        operations.collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let routes: Operations = crate::server::routes()
            .iter()
            .map(|route| {
                let name = (route.method().to_string(), route.path().to_owned());
                (name, (route.access() == Access::Public, route.is_keyed()))
            })
            .collect();
        assert_eq!(described(&document), routes);
    }

    /// Every `$ref` of a part of the document.
    fn references<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
        match part {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{} references", found.len());
        for reference in found {
            let target = document.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some(), "{reference} leads nowhere");
        }
    }
}
