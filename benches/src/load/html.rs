//! The report as one page that needs nothing else: tables, and plots as inline SVG. Every text is escaped.

use super::report::Report;
use super::tally::Second;
use onsale_server::html::escaped;
use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
/// Room for the numbers beside and below a plot.
const LEFT: f64 = 64.0;
const BELOW: f64 = 24.0;
const COLORS: [&str; 4] = ["#2458b8", "#d0562a", "#2d8a55", "#8a4fb0"];
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1e23}\
    table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}td,th{padding:.3rem .6rem;border-bottom:1px solid #d9dde3;\
    text-align:right}td:first-child,th:first-child{text-align:left}td.l{text-align:left}.met{color:#1d7a46}\
    .missed{color:#b3261e;font-weight:600}svg{width:100%;height:auto;background:#fafbfc;border:1px solid #e3e6ea}\
    .key{font-size:.85rem}ul{margin:.2rem 0}";

/// One line of a plot.
struct Curve<'a> {
    name: &'a str,
    /// Second and value; seconds without a value break the line.
    points: Vec<(f64, Option<f64>)>,
}

/// Writes the page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::with_capacity(64 << 10);
    let title = format!("onsale-load {}", report.scenario);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style><h1>{0}</h1><p>{1}, {2:.1} s{3}</p>",
        escaped(&title),
        escaped(&report.began),
        report.took_seconds,
        if report.interrupted { ", <span class=\"missed\">interrupted</span>" } else { "" },
    );
    pairs(&mut out, &report.setting);
    levels(&mut out, report);
    calls(&mut out, report);
    out.push_str("<h2>Figures</h2>");
    pairs(&mut out, &report.story);
    out.push_str("<h2>Second by second</h2>");
    plots(&mut out, &report.seconds);
    out.push_str("</html>\n");
    out
}

fn pairs(out: &mut String, rows: &[(String, String)]) {
    out.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><td>{}<td class=\"l\">{}", escaped(name), escaped(value));
    }
    out.push_str("</table>");
}

fn levels(out: &mut String, report: &Report) {
    out.push_str("<h2>Service levels</h2><table><tr><th>level<th>asked<th>measured<th>");
    for level in &report.levels {
        let (class, word) = if level.met { ("met", "met") } else { ("missed", "missed") };
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td class=\"{class}\">{word}",
            escaped(&level.name),
            escaped(&level.asked),
            escaped(&level.measured)
        );
        if !level.faults.is_empty() {
            out.push_str("<tr><td colspan=\"4\"><ul>");
            for fault in &level.faults {
                let _ = write!(out, "<li>{}", escaped(fault));
            }
            out.push_str("</ul>");
        }
    }
    out.push_str("</table>");
}

fn calls(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Calls</h2><p>From the moment when each should have left, in milliseconds.</p><table><tr><th>call<th>done\
         <th>refused<th>failed<th>p50<th>p95<th>p99<th>most",
    );
    for row in &report.calls {
        let latency = row.latency;
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.2}",
            row.name,
            row.done,
            row.refused,
            row.failed,
            latency.p50_ms,
            latency.p95_ms,
            latency.p99_ms,
            latency.most_ms
        );
    }
    let _ = write!(out, "</table><p>The load tool itself sent 95 of 100 within {:.2} ms.</p>", report.lateness.p95_ms);
    for (title, rows) in [("Failed", &report.failures), ("Refused", &report.refusals)] {
        if rows.is_empty() {
            continue;
        }
        let _ = write!(out, "<h2>{title}</h2><table><tr><th>call<th>code<th>times");
        for row in rows {
            let _ = write!(out, "<tr><td>{}<td>{}<td>{}", escaped(row.call), escaped(&row.code), row.times);
        }
        out.push_str("</table>");
    }
}

fn plots(out: &mut String, seconds: &[Second]) {
    let curve = |name, value: fn(&Second) -> Option<f64>| Curve {
        name,
        points: seconds.iter().map(|second| (second.second as f64, value(second))).collect(),
    };
    plot(
        out,
        "Requests a second",
        &[
            curve("sent", |second| Some(second.sent as f64)),
            curve("answered", |second| Some(second.answered as f64)),
            curve("failed", |second| Some(second.failed as f64)),
            curve("events of streams", |second| Some(second.events as f64)),
        ],
    );
    plot(
        out,
        "Latency, p95 of each second, ms",
        &[curve("entering", |second| second.entry_p95_ms), curve("reading", |second| second.read_p95_ms)],
    );
    plot(
        out,
        "Buyers",
        &[
            curve("waiting", |second| Some(second.waiting as f64)),
            curve("let in", |second| Some(second.admitted as f64)),
        ],
    );
    if seconds.iter().any(|second| second.server_bytes.is_some()) {
        plot(
            out,
            "Server's memory, MiB",
            &[curve("resident", |second| second.server_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)))],
        );
        plot(
            out,
            "Processors busy",
            &[curve("server", |second| second.server_cores), curve("load tool", |second| second.own_cores)],
        );
    }
}

fn plot(out: &mut String, title: &str, curves: &[Curve<'_>]) {
    let values = || curves.iter().flat_map(|curve| curve.points.iter());
    let most = values().filter_map(|(_, value)| *value).fold(0.0, f64::max);
    let last = values().map(|(second, _)| *second).fold(1.0, f64::max);
    let top = round_up(most);
    let x = |second: f64| LEFT + (WIDTH - LEFT - 8.0) * second / last;
    let y = |value: f64| HEIGHT - BELOW - (HEIGHT - BELOW - 10.0) * value / top;
    let _ = write!(out, "<h3>{}</h3><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">", escaped(title));
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let (right, label, height) = (WIDTH - 8.0, LEFT - 6.0, y(value));
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{height:.1}\" y2=\"{height:.1}\" stroke=\"#e3e6ea\"/>\
             <text x=\"{label}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"end\">{}</text>",
            height + 4.0,
            short(value)
        );
        let second = last * f64::from(part) / 4.0;
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"middle\">{} s</text>",
            x(second),
            HEIGHT - 6.0,
            short(second)
        );
    }
    for (curve, color) in curves.iter().zip(COLORS) {
        let mut path = String::new();
        let mut pen_up = true;
        for (second, value) in &curve.points {
            match value {
                Some(value) => {
                    let _ = write!(path, "{}{:.1} {:.1}", if pen_up { "M" } else { "L" }, x(*second), y(*value));
                    pen_up = false;
                }
                None => pen_up = true,
            }
        }
        let _ = write!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\"/>");
    }
    out.push_str("</svg><p class=\"key\">");
    for (curve, color) in curves.iter().zip(COLORS) {
        let _ = write!(out, "<span style=\"color:{color}\">&#9632;</span> {} ", escaped(curve.name));
    }
    out.push_str("</p>");
}

/// The next of 1, 2, 5, 10, 20, … that is not below.
fn round_up(most: f64) -> f64 {
    let power = 10f64.powf(most.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0].iter().map(|step| step * power).find(|top| *top >= most).unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_round_and_never_too_small() {
        let check =
            |most: f64, top: f64| assert!((round_up(most) - top).abs() < 1e-9, "{most} gives {}", round_up(most));
        check(7.0, 10.0);
        check(10.0, 10.0);
        check(11.0, 20.0);
        check(4900.0, 5000.0);
        check(0.3, 0.5);
        assert!(round_up(0.0) > 0.0);
    }

    #[test]
    fn a_plot_breaks_where_there_is_no_value_and_texts_are_escaped() {
        let mut out = String::new();
        let points = vec![(1.0, Some(1.0)), (2.0, None), (3.0, Some(2.0)), (4.0, Some(2.0))];
        plot(&mut out, "a < b", &[Curve { name: "c", points }]);
        assert!(out.contains("a &lt; b"));
        let path = out.split("<path d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }
}
