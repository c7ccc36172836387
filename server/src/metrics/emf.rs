//! A profile as one line of CloudWatch's embedded metric format: the agent ships it like any log line, CloudWatch makes
//! metrics of it. Our own few lines, because the counts are there already (decision 13). Must never count anything.

use crate::metrics::catalogue::{DIMENSION, NAMESPACE};
use crate::metrics::profile::Profile;
use serde_json::{Map, Value, json};

/// The line, without its end. `at_millis` is Unix time; `properties` can be searched for but are no metrics.
#[must_use]
pub fn line(profile: &Profile, service: &str, at_millis: i64, properties: Map<String, Value>) -> String {
    let mut object = properties;
    let mut metrics = Vec::new();
    for (metric, samples) in profile.metrics() {
        metrics.push(json!({ "Name": metric.name, "Unit": metric.unit }));
        let value = match samples.as_slice() {
            [(value, 1)] => json!(value),
            _ => histogram(samples),
        };
        object.insert(metric.name.to_owned(), value);
    }
    object.insert(DIMENSION.to_owned(), json!(service));
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics });
    object.insert("_aws".to_owned(), json!({ "Timestamp": at_millis, "CloudWatchMetrics": [directive] }));
    Value::Object(object).to_string()
}

/// Values with how often each came, and their summary, as AWS' own libraries write a histogram.
fn histogram(samples: &[(f64, u64)]) -> Value {
    let (values, counts): (Vec<f64>, Vec<u64>) = samples.iter().copied().unzip();
    let (least, most) =
        values.iter().fold((f64::MAX, f64::MIN), |(least, most), &value| (least.min(value), most.max(value)));
    let count: u64 = counts.iter().sum();
    let sum: f64 = samples.iter().map(|&(value, count)| value * count as f64).sum();
    json!({ "Values": values, "Counts": counts, "Min": least, "Max": most, "Count": count, "Sum": sum })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::metrics::Totals;
    use crate::metrics::profile::Reading;
    use std::time::Duration;

    #[test]
    fn a_line_names_its_metrics_with_units_and_one_dimension() {
        let http = Totals { requests: 10, failed: 1, ..Totals::default() };
        let now = Reading { http, waiting: 3, ..Reading::default() };
        let profile = Profile::between(&Reading::default(), &now, Duration::from_secs(1));
        let properties = Map::from_iter([("node".to_owned(), json!("a"))]);
        let line: Value = serde_json::from_str(&line(&profile, "onsale", 5, properties)).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["Service"]]));
        assert_eq!(line["Service"], "onsale");
        let summary =
            json!({ "Values": [100.0, 0.0], "Counts": [1, 9], "Min": 0.0, "Max": 100.0, "Count": 10, "Sum": 100.0 });
        assert_eq!(line["ErrorRate"], summary);
        assert_eq!(line["PeopleWaiting"], 3.0);
        let named: Vec<&str> =
            directive["Metrics"].as_array().unwrap().iter().map(|metric| metric["Name"].as_str().unwrap()).collect();
        assert!(named.iter().all(|name| !line[name].is_null()) && !named.contains(&"node"), "{named:?}");
        assert!(line.get("CacheHitRate").is_none(), "nothing was read, so there is no rate");
    }
}
