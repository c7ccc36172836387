//! How a line of the log is written: one object without others in it, as JSON or as text. Beside its own members a line has
//! those of the spans that it is within, and `request_id`, `trace_id` and `event_id` of the work that it belongs to; what it
//! says itself comes first. Must never write a name twice.

use crate::config::LogFormat;
use onsale_engine::trace::Scope;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// What text begins with, and JSON has beside the members of a line.
const HEAD: [&str; 3] = ["timestamp", "level", "target"];
/// Where a line's words are.
const MESSAGE: &str = "message";
/// What members of lines that come from the `log` crate are called; one of them is the target that was meant.
const OF_LOG_CRATE: &str = "log.";

/// See the module.
pub(super) struct Lines(pub LogFormat);

impl<S> FormatEvent<S, JsonFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(&self, context: &FmtContext<'_, S, JsonFields>, out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let mut names = Vec::new();
        for span in context.event_scope().into_iter().flatten() {
            names.push(span.name());
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() {
                line.add_all(fields);
            }
        }
        if !names.is_empty() {
            names.reverse();
            line.add("span", Value::from(names.join(":")));
        }
        Scope::read(|scope| line.add_scope(scope));
        let level = event.metadata().level().as_str();
        let target = line.target.take().unwrap_or_else(|| event.metadata().target().to_owned());
        match self.0 {
            LogFormat::Json => line.write_json(out, level, &target),
            LogFormat::Text => line.write_text(out, level, &target),
        }
    }
}

/// A line's members in their order.
#[derive(Default)]
struct Line {
    members: Vec<(Cow<'static, str>, Value)>,
    target: Option<String>,
}

impl Line {
    fn add(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        let is_known = HEAD.contains(&&*name) || self.members.iter().any(|(known, _)| *known == name);
        if !is_known {
            self.members.push((name, value));
        }
    }

    /// The members of a span, which are kept as JSON.
    fn add_all(&mut self, members: &str) {
        let members: Map<String, Value> = serde_json::from_str(members).unwrap_or_default();
        members.into_iter().for_each(|(name, value)| self.add(name, value));
    }

    fn add_scope(&mut self, scope: &Scope) {
        let Scope { origin, event } = scope;
        if let Some(request) = &origin.request {
            self.add("request_id", Value::from(request.to_string()));
        }
        if let Some(trace) = origin.trace {
            self.add("trace_id", Value::from(trace.trace.to_string()));
        }
        if let Some(event) = event {
            self.add("event_id", Value::from(event.to_string()));
        }
    }

    fn write_json(&self, mut out: Writer<'_>, level: &str, target: &str) -> fmt::Result {
        write!(out, "{{\"timestamp\":\"")?;
        SystemTime.format_time(&mut out)?;
        write!(out, "\",\"level\":\"{level}\"")?;
        for (name, value) in &self.members {
            write!(out, ",{}:{value}", Value::from(&**name))?;
        }
        writeln!(out, ",\"target\":{}}}", Value::from(target))
    }

    fn write_text(&self, mut out: Writer<'_>, level: &str, target: &str) -> fmt::Result {
        SystemTime.format_time(&mut out)?;
        write!(out, " {level:>5} {target}:")?;
        let (words, others): (Vec<_>, Vec<_>) = self.members.iter().partition(|(name, _)| name == MESSAGE);
        for (_, words) in words {
            // A line stays one line whatever is in it.
            let words = words.as_str().map_or_else(|| words.to_string(), |words| words.escape_debug().to_string());
            write!(out, " {}", words.replace("\\\"", "\"").replace("\\'", "'"))?;
        }
        for (name, value) in others {
            match value.as_str().filter(|text| is_plain(text)) {
                Some(text) => write!(out, " {name}={text}")?,
                None => write!(out, " {name}={value}")?,
            }
        }
        writeln!(out)
    }
}

/// Whether it can be read without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|one| !one.is_whitespace() && !one.is_control() && one != '"' && one != '\\')
}

impl Line {
    fn record(&mut self, field: &Field, value: Value) {
        match field.name() {
            name if name.starts_with(OF_LOG_CRATE) => {
                if name == "log.target" {
                    self.target = value.as_str().map(str::to_owned);
                }
            }
            name => self.add(name.strip_prefix("r#").unwrap_or(name), value),
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field, Value::from(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use onsale_engine::id::EventId;
    use onsale_engine::trace::{Origin, RequestId, TraceContext};
    use serde_json::json;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{EnvFilter, Layer};
    use uuid::Uuid;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `work` is done, with that filter.
    fn written(format: LogFormat, filter: &str, work: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = super::super::layer(format, move || writer.clone()).with_filter(EnvFilter::new(filter));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn scope() -> Scope {
        let request = Some(RequestId::parse("mine-1"));
        Scope::new(Origin { request, trace: TraceContext::parse(TRACE) }, EventId(Uuid::from_u128(7)))
    }

    fn parsed(line: &str) -> Map<String, Value> {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        let at = line.remove("timestamp").unwrap();
        assert!(at.as_str().unwrap().ends_with('Z'));
        assert_eq!(line.remove("target").unwrap(), "here");
        line
    }

    #[test]
    fn a_line_has_the_ids_of_its_work_and_the_members_of_its_spans() {
        let log = written(LogFormat::Json, "debug", || {
            let _scope = scope().enter();
            let _outer = tracing::info_span!(target: "here", "effect", payment = %"p-1", attempt = 1).entered();
            let _inner = tracing::debug_span!(target: "here", "command", command = "hold", attempt = 2).entered();
            tracing::warn!(target: "here", error = %"no \"answer\"\n", n = 3_u64, is_late = true, "a {}", "charge");
        });
        let mut lines = log.lines();
        assert_eq!(
            Value::from(parsed(lines.next().unwrap())),
            json!({
                "level": "WARN", "message": "a charge", "error": "no \"answer\"\n", "n": 3, "is_late": true,
                // The innermost says it.
                "attempt": 2, "command": "hold", "payment": "p-1", "span": "effect:command",
                "request_id": "mine-1", "trace_id": "0af7651916cd43dd8448eb211c80319c",
                "event_id": "00000000-0000-0000-0000-000000000007",
            })
        );
        // Each span has a line of its own when it ends, the inner one first.
        let ends: Vec<_> = lines.map(parsed).collect();
        let fields = ends.iter().map(|line| (&line["message"], &line["span"], &line["request_id"], &line["payment"]));
        let end = |span| (json!("close"), json!(span), json!("mine-1"), json!("p-1"));
        let expected = [end("effect:command"), end("effect")];
        assert!(fields.eq(expected.iter().map(|(a, b, c, d)| (a, b, c, d))), "{log}");
        assert!(ends.iter().all(|line| line["time.busy"].is_string()), "{log}");
    }

    #[test]
    fn a_span_that_nobody_asked_for_is_not_made_and_the_ids_are_there_all_the_same() {
        let log = written(LogFormat::Json, "warn", || {
            let _scope = scope().enter();
            let span = tracing::debug_span!(target: "here", "request", path = "/x").entered();
            assert!(span.is_disabled());
            tracing::warn!(target: "here", event_id = "its own", "slow");
            tracing::info!(target: "here", "not asked for");
        });
        let own = json!({
            "level": "WARN", "message": "slow", "event_id": "its own", "request_id": "mine-1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
        });
        assert_eq!(Value::from(parsed(&log)), own);
        assert_eq!(log.matches("event_id").count(), 1, "{log}");
    }

    #[test]
    fn work_of_no_request_has_no_ids() {
        let log = written(LogFormat::Json, "info", || tracing::info!(target: "here", none = None::<u8>, "ready"));
        assert_eq!(Value::from(parsed(&log)), json!({ "level": "INFO", "message": "ready" }));
    }

    #[test]
    fn text_says_the_same_in_one_line() {
        let log = written(LogFormat::Text, "info", || {
            let _scope = scope().enter();
            let _span = tracing::info_span!(target: "here", "effect", payment = 5).entered();
            tracing::warn!(target: "here", error = "two\nlines", empty = "", "it's a \"charge\"\nof money");
        });
        let (line, _end_of_span) = log.split_once('\n').unwrap();
        let (_, fields) = line.split_once(' ').unwrap();
        assert_eq!(
            fields,
            " WARN here: it's a \"charge\"\\nof money error=\"two\\nlines\" empty=\"\" payment=5 span=effect \
             request_id=mine-1 trace_id=0af7651916cd43dd8448eb211c80319c \
             event_id=00000000-0000-0000-0000-000000000007"
        );
    }
}
