//! A small chart of usage over time, for a web page: its legend, and an SVG.

use std::fmt::Write;

use rcmgr_config::ByteSize;

use super::page::escape;

const WIDTH: f64 = 356.0;
const HEIGHT: f64 = 142.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 120.0;

/// A limit is drawn if it is at most this many times the highest value. A higher one would flatten
/// the lines.
const DRAWN: u64 = 3;

/// A chart of lines over the same time.
pub struct Chart {
    pub title: &'static str,
    pub lines: Vec<Line>,
    /// The labels of the time axis, left and right.
    pub ends: [String; 2],
    /// Formats a value.
    pub show: fn(u64) -> String,
    /// Whether the values are bytes. Ticks are then powers of two.
    pub is_size: bool,
}

/// A line of a chart.
pub struct Line {
    pub name: &'static str,
    pub values: Vec<u64>,
    pub limit: Option<u64>,
}

impl Chart {
    /// The chart; `None` if all values are zero.
    pub fn html(&self) -> Option<String> {
        let values = || self.lines.iter().flat_map(|line| &line.values);
        let most = *values().max()?;
        if most == 0 {
            return None;
        }
        let used = || {
            let lines = self.lines.iter().enumerate();
            lines.filter(|(_, line)| line.peak() > 0)
        };
        let is_drawn = |limit: &u64| *limit / DRAWN <= most;
        let limits = used().filter_map(|(_, line)| line.limit);
        let highest = limits.filter(is_drawn).max().unwrap_or(0).max(most);
        let place = |value: u64| BOTTOM - (BOTTOM - TOP) * value as f64 / (highest as f64 * 1.06);
        let mut html = String::new();
        let mut add = |what: std::fmt::Arguments<'_>| {
            html.write_fmt(what).expect("text takes anything");
            html.push('\n');
        };
        let title = escape(self.title);
        add(format_args!("<figure><figcaption><b>{title}</b>"));
        for (look, line) in used() {
            let text = escape(&self.peak_of_limit(line));
            add(format_args!("<span class=\"look{look}\">{text}</span>"));
        }
        add(format_args!(
            r#"</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">"#
        ));
        for tick in ticks(highest, self.is_size) {
            let (at, text) = (place(tick), escape(&self.tick(tick)));
            add(format_args!(
                r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{RIGHT}" y2="{at:.1}"/><text class="tick y" x="{:.1}" y="{:.1}">{text}</text>"#,
                LEFT - 5.0,
                at + 3.5,
            ));
        }
        add(format_args!(
            r#"<line class="axis" x1="{LEFT}" y1="{BOTTOM}" x2="{RIGHT}" y2="{BOTTOM}"/>"#
        ));
        let [begin, end] = self.ends.each_ref().map(|text| escape(text));
        add(format_args!(
            r#"<text class="tick" x="{LEFT}" y="{0}">{begin}</text><text class="tick end" x="{RIGHT}" y="{0}">{end}</text>"#,
            BOTTOM + 15.0
        ));
        for (look, line) in used() {
            let text = escape(&self.peak_of_limit(line));
            if let Some(limit) = line.limit.filter(is_drawn) {
                let at = place(limit);
                add(format_args!(
                    r#"<line class="limit look{look}" x1="{LEFT}" y1="{at:.1}" x2="{RIGHT}" y2="{at:.1}"><title>limit: {text}</title></line>"#
                ));
            }
            let path = path(&line.values, place);
            add(format_args!(
                r#"<path class="line look{look}" d="{path}"><title>{text}</title></path>"#
            ));
        }
        add(format_args!("</svg></figure>"));
        Some(html)
    }

    /// The name of a line, its highest value and its limit.
    fn peak_of_limit(&self, line: &Line) -> String {
        let (name, peak) = (line.name, (self.show)(line.peak()));
        match line.limit {
            Some(limit) => format!("{name} {peak} of {}", (self.show)(limit)),
            None => format!("{name} {peak}"),
        }
    }
}

impl Line {
    fn peak(&self) -> u64 {
        self.values.iter().copied().max().unwrap_or(0)
    }
}

impl Chart {
    /// The label of a tick. Ticks are round, so they need no decimals.
    fn tick(&self, tick: u64) -> String {
        match self.is_size {
            true => ByteSize(tick).to_string(),
            false => (self.show)(tick),
        }
    }
}

/// The path of a step line: each value is valid for its part of the time.
fn path(values: &[u64], place: impl Fn(u64) -> f64) -> String {
    let mut path = String::new();
    let width = (RIGHT - LEFT) / values.len() as f64;
    let mut before = None;
    for (at, &value) in values.iter().enumerate() {
        let is_last = at + 1 == values.len();
        if before == Some(value) && !is_last {
            continue;
        }
        let (x, y) = (LEFT + width * at as f64, place(value));
        let step = match before {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some(_) => write!(path, "H{x:.1}V{y:.1}"),
        };
        step.expect("text takes anything");
        if is_last {
            write!(path, "H{RIGHT:.1}").expect("text takes anything");
        }
        before = Some(value);
    }
    path
}

/// A few round values, starting at zero.
fn ticks(most: u64, is_size: bool) -> Vec<u64> {
    let few = |step: &u64| most / step <= 4;
    let steps: Vec<u64> = match is_size {
        true => (0..64).map(|power| 1 << power).collect(),
        false => (0..19)
            .flat_map(|power| [1, 2, 5].map(|head| head * 10_u64.pow(power)))
            .collect(),
    };
    let step = steps.into_iter().find(few).unwrap_or(most.max(1));
    (0..=most / step).map(|count| count * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(ticks(1, false), [0, 1]);
        assert_eq!(ticks(23, false), [0, 5, 10, 15, 20]);
        assert_eq!(ticks(3 << 20, true), [0, 1 << 20, 2 << 20, 3 << 20]);
        for most in [7, 1000, u64::MAX] {
            for is_size in [true, false] {
                assert!((2..=5).contains(&ticks(most, is_size).len()), "{most}");
            }
        }
    }

    #[test]
    fn a_line_goes_in_steps_to_the_end() {
        let path = path(&[1, 1, 3, 3], |value| value as f64);
        assert_eq!(path, "M56.0 1.0H203.0V3.0H276.5V3.0H350.0");
    }

    #[test]
    fn a_limit_is_a_line_if_it_is_near_and_always_in_the_text() {
        let chart = |limit| Chart {
            title: "connections",
            lines: vec![Line {
                name: "Conns",
                values: vec![1, 4],
                limit,
            }],
            ends: [String::new(), String::new()],
            show: |value| value.to_string(),
            is_size: false,
        };
        let near = chart(Some(12)).html().unwrap();
        assert!(
            near.contains("<span class=\"look0\">Conns 4 of 12</span>"),
            "{near}"
        );
        assert_eq!(near.matches("class=\"limit look0\"").count(), 1);
        let far = chart(Some(1000)).html().unwrap();
        assert!(far.contains(">Conns 4 of 1000</span>"), "{far}");
        assert!(!far.contains("class=\"limit"));
        let none = chart(None).html().unwrap();
        assert!(none.contains(">Conns 4</span>"), "{none}");
    }
}
