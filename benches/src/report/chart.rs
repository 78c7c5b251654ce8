//! A small line chart as SVG, for a web page.

use std::fmt::Write;

use super::page::escape;
use super::scale::{Axis, Scale, short};

const WIDTH: f64 = 356.0;
const HEIGHT: f64 = 242.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 262.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 202.0;

/// The smallest distance between the names of two lines.
const NAME_HEIGHT: f64 = 11.5;

/// A chart.
pub struct Chart {
    pub title: String,
    pub x_name: &'static str,
    pub x_scale: Scale,
    pub y_name: &'static str,
    pub y_scale: Scale,
    pub lines: Vec<Line>,
}

/// A line of a chart.
pub struct Line {
    pub name: String,
    /// The index of its colour and mark, the same in all charts.
    pub look: usize,
    pub dashed: bool,
    pub points: Vec<Point>,
}

/// A point of a line. Its range is drawn as a thin bar.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub range: [f64; 2],
}

impl Chart {
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::around(self.x_scale, points().map(|point| point.x), [LEFT, RIGHT]);
        let ys = points().flat_map(|point| [point.y, point.range[0], point.range[1]]);
        let y = Axis::around(self.y_scale, ys, [BOTTOM, TOP]);
        let mut svg = Svg(String::new());
        svg.add(format_args!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(&self.title),
        ));
        svg.text("title", LEFT, 13.0, &self.title);
        self.axes(&mut svg, &x, &y);
        for line in &self.lines {
            line.draw(&mut svg, &x, &y);
        }
        self.names(&mut svg, &y);
        svg.add(format_args!("</svg>"));
        svg.0
    }

    fn axes(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        for tick in y.ticks() {
            let at = y.place(tick);
            svg.line("grid", [LEFT, at], [RIGHT, at]);
            svg.text("tick y", LEFT - 5.0, at + 3.5, &short(tick));
        }
        // The ticks of x are the values that were measured.
        let mut values: Vec<f64> = Vec::new();
        for point in self.lines.iter().flat_map(|line| &line.points) {
            if !values.contains(&point.x) {
                values.push(point.x);
            }
        }
        for value in values {
            let at = x.place(value);
            svg.line("axis", [at, BOTTOM], [at, BOTTOM + 4.0]);
            svg.text("tick x", at, BOTTOM + 15.0, &short(value));
        }
        svg.line("axis", [LEFT, BOTTOM], [RIGHT, BOTTOM]);
        svg.text("name x", (LEFT + RIGHT) / 2.0, HEIGHT - 8.0, self.x_name);
        svg.text("name", LEFT, TOP - 9.0, self.y_name);
    }

    /// Writes the name of each line at its end. Names that would overlap are moved apart.
    fn names(&self, svg: &mut Svg, y: &Axis) {
        let ends = self.lines.iter().filter_map(|line| {
            let end = line.points.last()?;
            Some((y.place(end.y), line))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let wanted: Vec<_> = ends.iter().map(|(at, _)| *at).collect();
        for ((_, line), at) in ends.iter().zip(apart(&wanted)) {
            let class = format!("name look{}", line.look);
            svg.text(&class, RIGHT + 10.0, at + 3.5, &line.name);
        }
    }
}

/// Places that are at least the height of a name apart, close to the wanted ones, and inside the
/// chart. `wanted` must be sorted.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut places = wanted.to_vec();
    for at in 1..places.len() {
        places[at] = places[at].max(places[at - 1] + NAME_HEIGHT);
    }
    let mut lowest = BOTTOM;
    for place in places.iter_mut().rev() {
        *place = place.min(lowest);
        lowest = *place - NAME_HEIGHT;
    }
    places
}

impl Line {
    fn draw(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        let Self {
            name,
            look,
            dashed,
            points,
        } = self;
        svg.add(format_args!(r#"<g class="look{look}">"#));
        let mut path = String::new();
        for Point {
            x: at,
            y: value,
            range,
        } in points
        {
            let (at, place) = (x.place(*at), y.place(*value));
            let command = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{command}{at:.1} {place:.1}").expect("text takes anything");
            svg.line("range", [at, y.place(range[0])], [at, y.place(range[1])]);
        }
        let class = if *dashed { "line dashed" } else { "line" };
        svg.add(format_args!(r#"<path class="{class}" d="{path}"/>"#));
        for point in points {
            let (at, place) = (x.place(point.x), y.place(point.y));
            let Point { x, y, .. } = *point;
            let (x, y) = (short(x), short(y));
            svg.add(format_args!(
                r#"<path class="mark" transform="translate({at:.1} {place:.1})" d="{}"><title>{}, {x}: {y}</title></path>"#,
                MARKS[look % MARKS.len()],
                escape(name),
            ));
        }
        svg.add(format_args!("</g>"));
    }
}

/// Circle, square, triangle, diamond, and a triangle upside down: readers can distinguish the lines
/// without colours.
const MARKS: [&str; 5] = [
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    "M-2.7 -2.7h5.4v5.4h-5.4z",
    "M0 -3.6l3.4 6h-6.8z",
    "M0 -3.8l3.6 3.8l-3.6 3.8l-3.6 -3.8z",
    "M0 3.6l3.4 -6h-6.8z",
];

struct Svg(String);

impl Svg {
    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        self.0.write_fmt(what).expect("text takes anything");
        self.0.push('\n');
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.add(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    fn line(&mut self, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
        self.add(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_overlap_and_stay_in_the_chart() {
        let places = apart(&[100.0, 101.0, 195.0, 196.0]);
        let gaps: Vec<_> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            gaps.iter().all(|gap| *gap >= NAME_HEIGHT - 1e-9),
            "{places:?}"
        );
        assert!(places.iter().all(|place| *place <= BOTTOM));
    }
}
