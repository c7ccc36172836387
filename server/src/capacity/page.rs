//! A plan as one HTML page without scripts: figures, curves as SVG, and the table of rates.

use super::outcome::{Outcome, Second};
use super::text::{CURVES, figures, shown, squeezed};
use crate::config::Config;
use crate::html::escaped;
use std::fmt::Write;
use std::time::Duration;

const WIDTH: usize = 640;
const HEIGHT: usize = 140;

/// The page.
pub(super) fn page(title: &str, outcomes: &[Outcome], config: &Config) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title>\n\
         <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse}}td,th{{padding:.15rem .8rem .15rem 0;text-align:left}}\
         svg{{width:100%;height:auto}}figure{{margin:1.5rem 0}}path{{fill:none;stroke:#0b62c4;stroke-width:1.5}}\
         line{{stroke:#999}}text{{font-size:11px;fill:#555}}</style>\n<h1>{0}</h1>\n",
        escaped(title)
    );
    let Some((first, _)) = outcomes.split_first() else { return out };
    out.push_str("<table>\n");
    for (what, value) in figures(first, config) {
        let _ = writeln!(out, "<tr><th scope=\"row\">{what}<td>{}", escaped(&value));
    }
    out.push_str("</table>\n");
    for (name, value) in CURVES {
        curve(&mut out, name, first.seconds(), value);
    }
    out.push_str("<h2>Another rate</h2>\n<table><tr><th>let in a second<th>line empty after<th>all paid for after<th>most requests in a second\n");
    for outcome in outcomes {
        let (drained, sold_out) = (shown(outcome.drained_after), shown(outcome.sold_out_after));
        let _ = writeln!(out, "<tr><td>{}<td>{drained}<td>{sold_out}<td>{}", outcome.rate, outcome.peak_requests());
    }
    out.push_str("</table>\n</html>\n");
    out
}

fn curve(out: &mut String, name: &str, seconds: &[Second], value: fn(&Second) -> u64) {
    let values = squeezed(seconds, value, WIDTH / 2);
    let most = values.iter().copied().max().unwrap_or(0);
    let across = (values.len().max(2) - 1) as f64;
    let mut path = String::new();
    for (at, value) in values.iter().enumerate() {
        let x = at as f64 / across * WIDTH as f64;
        let y = HEIGHT as f64 * (1.0 - *value as f64 / most.max(1) as f64);
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
    }
    let end = shown(Some(Duration::from_secs(seconds.len() as u64)));
    let (bottom, below) = (HEIGHT + 20, HEIGHT + 13);
    let _ = writeln!(
        out,
        "<figure><figcaption>{name}, at most {most}</figcaption>\
         <svg viewBox=\"0 -4 {WIDTH} {bottom}\" role=\"img\" aria-label=\"{name}\">\
         <line x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/><path d=\"{path}\"/>\
         <text x=\"0\" y=\"{below}\">0</text>\
         <text x=\"{WIDTH}\" y=\"{below}\" text-anchor=\"end\">{end}</text></svg></figure>"
    );
}
