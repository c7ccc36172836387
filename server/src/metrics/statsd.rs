//! A profile as StatsD datagrams, for the CloudWatch agent or any other listener: `name:value|type|@rate|#tags`. A value
//! that came n times is sent once with a sample rate of 1/n. Lost datagrams are lost metrics, nothing else.

use crate::metrics::catalogue::DIMENSION;
use crate::metrics::profile::Profile;
use std::fmt::Write;

/// Bytes of one datagram: what an Ethernet frame carries through.
const DATAGRAM_BYTES: usize = 1432;

/// The datagrams, each of whole lines.
#[must_use]
pub fn datagrams(profile: &Profile, service: &str) -> Vec<String> {
    let mut datagrams = vec![String::new()];
    for (metric, samples) in profile.metrics() {
        for (value, count) in samples {
            let mut line = String::new();
            let kind = match (metric.unit, samples.len(), count) {
                ("Milliseconds", _, _) => "ms",
                (_, 1, 1) => "g",
                _ => "h",
            };
            let _ = write!(line, "{}:{value}|{kind}", metric.name);
            if *count > 1 {
                let _ = write!(line, "|@{}", 1.0 / *count as f64);
            }
            let _ = write!(line, "|#{DIMENSION}:{service}");
            match datagrams.last_mut() {
                Some(last) if last.is_empty() => *last = line,
                Some(last) if last.len() + 1 + line.len() <= DATAGRAM_BYTES => {
                    last.push('\n');
                    last.push_str(&line);
                }
                Some(_) | None => datagrams.push(line),
            }
        }
    }
    datagrams
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Totals;
    use crate::metrics::profile::Reading;
    use std::time::Duration;

    #[test]
    fn a_value_that_came_often_is_sent_once_with_its_rate() {
        let http = Totals { requests: 40, failed: 8, ..Totals::default() };
        let now = Reading { http, waiting: 3, ..Reading::default() };
        let profile = Profile::between(&Reading::default(), &now, Duration::from_secs(1));
        let sent = datagrams(&profile, "onsale");
        assert_eq!(sent.len(), 1);
        let lines: Vec<&str> = sent[0].lines().collect();
        assert!(lines.contains(&"ErrorRate:100|h|@0.125|#Service:onsale"), "{lines:?}");
        assert!(lines.contains(&"ErrorRate:0|h|@0.03125|#Service:onsale"), "{lines:?}");
        assert!(lines.contains(&"PeopleWaiting:3|g|#Service:onsale"), "{lines:?}");
    }

    #[test]
    fn no_datagram_is_longer_than_a_frame() {
        let http = Totals { requests: u64::MAX, failed: u64::MAX / 3, ..Totals::default() };
        let profile = Profile::between(&Reading::default(), &Reading { http, ..Reading::default() }, Duration::MAX);
        let sent = datagrams(&profile, &"s".repeat(255));
        assert!(sent.len() > 1 && sent.iter().all(|datagram| datagram.len() <= DATAGRAM_BYTES));
    }
}
