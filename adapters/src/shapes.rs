//! What a pretix plan draws beside its seats: its areas, read leniently, since nothing is sold of them. Owns their form in seat
//! maps, and hands the engine what may be the stage. Must never refuse a plan: what cannot be read is left out, and counted.

use crate::document::composed;
use onsale_engine::plan::Area;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Areas of one plan that are drawn.
const MAX_SHAPES: usize = 1000;
/// Points of one polygon.
const MAX_POINTS: usize = 1000;
/// Characters of the words on an area.
const MAX_TEXT_CHARS: usize = 200;
/// Characters of a colour.
const MAX_COLOR_CHARS: usize = 64;

/// The areas of a plan so far.
#[derive(Default)]
pub(crate) struct Shapes {
    /// As seat maps show them: `{shape, x, y, …, text?}`, positions absolute.
    pub(crate) drawn: Vec<Value>,
    /// As the engine searches a stage among them.
    pub(crate) areas: Vec<Area>,
    /// Areas that cannot be read.
    pub(crate) left_out: usize,
}

impl Shapes {
    /// Reads a list of areas whose positions count from `origin`. One that says nothing is called as its zone, if that is
    /// there for its areas alone.
    pub(crate) fn read(&mut self, raw: Option<&RawValue>, origin: (f64, f64), zone: &str) {
        let Some(raw) = raw else { return };
        let Ok(list) = serde_json::from_str::<Vec<Value>>(raw.get()) else {
            self.left_out += 1;
            return;
        };
        for area in &list {
            match shape(area, origin, zone).filter(|_| self.drawn.len() < MAX_SHAPES) {
                Some((drawn, area)) => {
                    self.drawn.push(Value::Object(drawn));
                    self.areas.push(area);
                }
                None => self.left_out += 1,
            }
        }
    }
}

fn shape(area: &Value, origin: (f64, f64), zone: &str) -> Option<(Map<String, Value>, Area)> {
    let own = match area.get("position") {
        Some(position) => place(position)?,
        None => (0.0, 0.0),
    };
    let (x, y) = (origin.0 + own.0, origin.1 + own.1);
    let mut drawn = Map::new();
    let outline = Outline::of(area, &mut drawn)?;
    drawn.insert("x".to_owned(), number(x)?);
    drawn.insert("y".to_owned(), number(y)?);
    let rotation = area.get("rotation").and_then(Value::as_f64).unwrap_or(0.0);
    if rotation != 0.0 {
        drawn.insert("rotation".to_owned(), number(rotation)?);
    }
    for (member, name) in [("color", "color"), ("border_color", "borderColor")] {
        if let Some(color) = area.get(member).and_then(Value::as_str).filter(|color| is_color(color)) {
            drawn.insert(name.to_owned(), color.into());
        }
    }
    let words = text(area, "text");
    if let Some(words) = &words {
        drawn.insert("text".to_owned(), words.as_str().into());
        if let Some((x, y)) = area.get("text").and_then(|text| place(text.get("position")?)) {
            drawn.insert("textX".to_owned(), number(x)?);
            drawn.insert("textY".to_owned(), number(y)?);
        }
    }
    let (dx, dy) = turned(outline.middle, rotation);
    let centre = ((x + dx) as f32, (y + dy) as f32);
    let extent = (outline.extent.0 as f32, outline.extent.1 as f32);
    let text = words.or_else(|| text(area, "name")).unwrap_or_else(|| zone.to_owned());
    Some((drawn, Area { centre, extent, text }))
}

/// The words of an area, or its name: a string, or an object that has one.
fn text(area: &Value, member: &str) -> Option<String> {
    let words = area.get(member)?;
    let words = words.as_str().or_else(|| words.get("text")?.as_str())?.trim();
    (!words.is_empty()).then(|| composed(words.to_owned()).chars().take(MAX_TEXT_CHARS).collect())
}

/// How large a shape is, and where its middle lies from its position.
struct Outline {
    middle: (f64, f64),
    extent: (f64, f64),
}

impl Outline {
    fn of(area: &Value, drawn: &mut Map<String, Value>) -> Option<Self> {
        let known = ["rectangle", "circle", "ellipse", "polygon", "text"];
        // Old documents have no shape, but are rectangles.
        let named = area.get("shape").and_then(Value::as_str);
        let shape = match named {
            Some(name) => known.into_iter().find(|shape| *shape == name)?,
            None => {
                known.into_iter().find(|shape| area.get(shape).is_some_and(Value::is_object)).unwrap_or("rectangle")
            }
        };
        drawn.insert("shape".to_owned(), shape.into());
        let member = area.get(shape).unwrap_or(area);
        let length = |value: Option<&Value>| value?.as_f64().filter(|length| length.is_finite() && *length > 0.0);
        let mut keep = |name: &str, value: f64| drawn.insert(name.to_owned(), json!(value));
        match shape {
            "rectangle" => {
                let (width, height) = (length(member.get("width"))?, length(member.get("height"))?);
                keep("width", width);
                keep("height", height);
                Some(Self { middle: (width / 2.0, height / 2.0), extent: (width, height) })
            }
            "circle" => {
                let radius = length(member.get("radius"))?;
                keep("radius", radius);
                Some(Self { middle: (0.0, 0.0), extent: (2.0 * radius, 2.0 * radius) })
            }
            "ellipse" => {
                let (x, y) = place(member.get("radius")?).filter(|(x, y)| *x > 0.0 && *y > 0.0)?;
                keep("radiusX", x);
                keep("radiusY", y);
                Some(Self { middle: (0.0, 0.0), extent: (2.0 * x, 2.0 * y) })
            }
            "polygon" => {
                let points: Vec<(f64, f64)> =
                    member.get("points")?.as_array()?.iter().map(place).collect::<Option<_>>()?;
                if points.is_empty() || points.len() > MAX_POINTS {
                    return None;
                }
                drawn.insert("points".to_owned(), points.iter().map(|(x, y)| json!({ "x": x, "y": y })).collect());
                Some(Self::around(&points))
            }
            _ => {
                let middle = area.get("text").and_then(|text| place(text.get("position")?)).unwrap_or((0.0, 0.0));
                Some(Self { middle, extent: (0.0, 0.0) })
            }
        }
    }

    fn around(points: &[(f64, f64)]) -> Self {
        let span = |of: fn(&(f64, f64)) -> f64| {
            let places = points.iter().map(of);
            places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| (low.min(place), high.max(place)))
        };
        let ((left, right), (top, bottom)) = (span(|point| point.0), span(|point| point.1));
        Self { middle: (f64::midpoint(left, right), f64::midpoint(top, bottom)), extent: (right - left, bottom - top) }
    }
}

fn place(value: &Value) -> Option<(f64, f64)> {
    let finite = |name: &str| value.get(name)?.as_f64().filter(|number| number.is_finite() && number.abs() < 1e9);
    Some((finite("x")?, finite("y")?))
}

fn number(value: f64) -> Option<Value> {
    value.is_finite().then(|| json!(value))
}

/// A place that is turned clockwise about the origin, to a hundredth: machines differ in what a sine is.
fn turned((x, y): (f64, f64), degrees: f64) -> (f64, f64) {
    if degrees == 0.0 {
        return (x, y);
    }
    let (sin, cos) = degrees.to_radians().sin_cos();
    let hundredth = |value: f64| (value * 100.0).round() / 100.0;
    (hundredth(x * cos - y * sin), hundredth(x * sin + y * cos))
}

/// A colour ends up in style sheets, so only what colours are written with is let through.
pub(crate) fn is_color(color: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"#(),.% -".contains(&byte);
    !color.is_empty() && color.len() <= MAX_COLOR_CHARS && color.bytes().all(harmless)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;

    fn read(json: &str) -> Shapes {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let mut shapes = Shapes::default();
        shapes.read(Some(&raw), (100.0, 10.0), "");
        shapes
    }

    #[test]
    fn every_shape_of_a_pretix_plan_has_its_middle_and_its_words() {
        let shapes = read(
            r##"[
            {"shape":"rectangle","position":{"x":10,"y":0},"rectangle":{"width":40,"height":20},"color":"#fff","text":{"text":"Stage","position":{"x":20,"y":10},"color":"#000"}},
            {"shape":"rectangle","position":{"x":0,"y":0},"rectangle":{"width":40,"height":20},"rotation":90},
            {"shape":"circle","position":{"x":5,"y":5},"circle":{"radius":7},"color":"red;x"},
            {"shape":"ellipse","position":{"x":5,"y":5},"ellipse":{"radius":{"x":4,"y":2}}},
            {"shape":"polygon","position":{"x":0,"y":0},"polygon":{"points":[{"x":0,"y":0},{"x":10,"y":0},{"x":10,"y":30}]}},
            {"shape":"text","position":{"x":1,"y":2},"text":{"position":{"x":3,"y":4},"text":"\u1107\u1161"}},
            {"width":10,"height":10,"position":{"x":0,"y":0},"text":"Bar"}
            ]"##,
        );
        assert_eq!(shapes.left_out, 0);
        let found: Vec<_> = shapes.areas.iter().map(|area| (area.centre, area.extent, area.text.as_str())).collect();
        assert_eq!(
            found,
            [
                ((130.0, 20.0), (40.0, 20.0), "Stage"),
                ((90.0, 30.0), (40.0, 20.0), ""),
                ((105.0, 15.0), (14.0, 14.0), ""),
                ((105.0, 15.0), (8.0, 4.0), ""),
                ((105.0, 25.0), (10.0, 30.0), ""),
                ((104.0, 16.0), (0.0, 0.0), "바"),
                ((105.0, 15.0), (10.0, 10.0), "Bar"),
            ]
        );
        assert_eq!(
            shapes.drawn[0],
            json!({ "shape": "rectangle", "x": 110.0, "y": 10.0, "width": 40.0, "height": 20.0, "color": "#fff",
                "text": "Stage", "textX": 20.0, "textY": 10.0 })
        );
        assert_eq!(shapes.drawn[2].get("color"), None);
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_counted() {
        for json in [
            "7",
            "[7]",
            r#"[{"shape":"star"}]"#,
            r#"[{"shape":"circle"}]"#,
            r#"[{"shape":"polygon","polygon":{"points":[]}}]"#,
            r#"[{"shape":"rectangle","rectangle":{"width":0,"height":5}}]"#,
            r#"[{"position":{"x":"1"},"width":1,"height":1}]"#,
        ] {
            let shapes = read(json);
            assert_eq!((shapes.left_out, shapes.areas.len()), (1, 0), "{json}");
        }
    }
}
