//! Line plots as SVG and HTML, without scripts.
//!
//! Lines are SVG that is stretched to whatever room there is; the words of the axes are HTML, so that they have the size
//! of the page's text on every screen.

use super::escaped;
use std::fmt::Write as _;

/// Units along each side of the drawing.
const SIDE: f64 = 1000.0;

/// A plot of a few lines over one axis.
pub(super) struct Plot<'a> {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line<'a>>,
    /// What is shown when the pointer is over a place: where it is on the x axis, and a text.
    pub(super) hints: Vec<(f64, String)>,
}

pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// Its colour in the style sheet.
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

impl Plot<'_> {
    pub(super) fn add_to(&self, page: &mut String) {
        let _ = write!(page, "<figure>\n<figcaption>{}", escaped(&self.title));
        if self.lines.len() > 1 {
            page.push_str("<span class=\"legend\">");
            for line in &self.lines {
                let _ = write!(page, "<span class=\"{}\">{}</span>", line.class, escaped(line.name));
            }
            page.push_str("</span>");
        }
        page.push_str("</figcaption>\n<div class=\"plot\">\n<div class=\"y\">");
        for (value, label) in &self.y.ticks {
            let _ = write!(
                page,
                "<span style=\"bottom:{:.1}%\">{}</span>",
                self.y.place(*value) / 10.0,
                escaped(label)
            );
        }
        let _ = write!(
            page,
            "</div>\n<svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\n",
            escaped(&self.title)
        );
        self.add_drawing(page);
        page.push_str("</svg>\n<div class=\"x\">");
        for (value, label) in &self.x.ticks {
            let _ = write!(
                page,
                "<span style=\"left:{:.1}%\">{}</span>",
                self.x.place(*value) / 10.0,
                escaped(label)
            );
        }
        page.push_str("</div>\n</div>\n</figure>\n");
    }

    fn add_drawing(&self, page: &mut String) {
        page.push_str("<path class=\"grid\" d=\"");
        for (value, _) in &self.y.ticks {
            let _ = write!(page, "M0 {:.0}H{SIDE}", SIDE - self.y.place(*value));
        }
        for (value, _) in &self.x.ticks {
            let _ = write!(page, "M{:.0} 0V{SIDE}", self.x.place(*value));
        }
        page.push_str("\"/>\n");
        for line in &self.lines {
            let points = line.points.iter().map(|(x, y)| (self.x.place(*x), SIDE - self.y.place(*y)));
            let path: Vec<String> = points.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let path = match &*path {
                // A line of no length is a dot, by its round ends.
                [one] => format!("{one}L{one}"),
                several => several.join("L"),
            };
            if !path.is_empty() {
                let _ = writeln!(page, "<path class=\"line {}\" d=\"M{path}\"/>", line.class);
            }
        }
        let width = SIDE / self.hints.len().max(1) as f64;
        for (x, text) in &self.hints {
            let left = (self.x.place(*x) - width / 2.0).clamp(0.0, SIDE - width);
            let _ = writeln!(
                page,
                "<rect class=\"hint\" x=\"{left:.1}\" width=\"{width:.1}\" height=\"{SIDE}\"><title>{}</title></rect>",
                escaped(text)
            );
        }
    }
}

/// One side of a plot.
pub(super) struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Values with their words.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to `most` or a little more, in about four steps.
    pub(super) fn from_zero(most: f64, label: impl Fn(f64) -> String) -> Self {
        let step = round_step(most / 4.0);
        let steps = (most / step).ceil().max(1.0);
        let to = steps * step;
        let ticks = (0..=steps as u32).map(|number| f64::from(number) * step);
        Axis { from: 0.0, to, logarithmic: false, ticks: ticks.map(|value| (value, label(value))).collect() }
    }

    /// From zero to exactly `most`.
    pub(super) fn up_to(most: f64, steps: &[f64], label: impl Fn(f64) -> String) -> Self {
        let step =
            steps.iter().copied().find(|step| most / step <= 6.0).unwrap_or_else(|| round_step(most / 5.0));
        let ticks = (0..=6_u32).map(|number| f64::from(number) * step).take_while(|value| *value <= most);
        Axis {
            from: 0.0,
            to: most,
            logarithmic: false,
            ticks: ticks.map(|value| (value, label(value))).collect(),
        }
    }

    /// From a power of ten, its double or its fivefold to another, so that all between `least` and `most` is in it.
    pub(super) fn logarithmic(least: f64, most: f64, label: impl Fn(f64) -> String) -> Self {
        let (least, most) = (least.max(1e-6), most.max(1e-6));
        let decade = least.log10().floor() as i32;
        let values: Vec<f64> = (decade..decade + 16)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
            .collect();
        let first = values.iter().rposition(|value| *value <= least).unwrap_or(0);
        let last = values.iter().position(|value| *value >= most).unwrap_or(values.len() - 1).max(first + 1);
        // More than about six are too many: then powers of ten alone.
        let sparse = last - first > 6;
        let (first, last) = if sparse { (first / 3 * 3, last.div_ceil(3) * 3) } else { (first, last) };
        let shown = values[first..=last.min(values.len() - 1)].iter().step_by(if sparse { 3 } else { 1 });
        let ticks: Vec<(f64, String)> = shown.map(|value| (*value, label(*value))).collect();
        let to = ticks.last().map_or(most, |(value, _)| *value);
        Axis { from: values[first], to, logarithmic: true, ticks }
    }

    /// How far along it, 0 to [`SIDE`].
    fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(1e-6) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        // What has no place (of an axis without length) is at its beginning.
        if share.is_finite() { share.clamp(0.0, 1.0) * SIDE } else { 0.0 }
    }
}

/// A power of ten, its double or its fivefold, that is not less.
fn round_step(step: f64) -> f64 {
    if !step.is_finite() || step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticks(axis: &Axis) -> Vec<f64> {
        axis.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn plain(value: f64) -> String {
        value.to_string()
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(ticks(&Axis::from_zero(49_000.0, plain)), [0.0, 20_000.0, 40_000.0, 60_000.0]);
        assert_eq!(ticks(&Axis::from_zero(8.0, plain)), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(&Axis::from_zero(0.0, plain)), [0.0, 1.0]);
        assert_eq!(
            ticks(&Axis::up_to(90.0, &[1.0, 15.0, 30.0], plain)),
            [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0]
        );
        assert_eq!(ticks(&Axis::up_to(10.5, &[1.0, 2.0], plain)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn logarithms_have_round_ends_too() {
        assert_eq!(ticks(&Axis::logarithmic(0.31, 11.8, plain)), [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(ticks(&Axis::logarithmic(3.0, 3.0, plain)), [2.0, 5.0]);
        assert_eq!(
            ticks(&Axis::logarithmic(2.0, 90_000.0, plain)),
            [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0]
        );
    }

    #[test]
    fn words_are_escaped() {
        let plot = Plot {
            title: "<b>\"&".into(),
            x: Axis::from_zero(1.0, |_| "<x>".into()),
            y: Axis::from_zero(1.0, |_| "<y>".into()),
            lines: vec![
                Line { name: "<one>", class: "a", points: vec![(0.0, 0.0)] },
                Line { name: "<two>", class: "b", points: vec![] },
            ],
            hints: vec![(0.5, "</title><script>".into())],
        };
        let mut page = String::new();
        plot.add_to(&mut page);
        for word in ["<b>", "<x>", "<y>", "<one>", "<two>", "<script>"] {
            assert!(!page.contains(word), "{word}: {page}");
        }
        assert!(page.contains("d=\"M0.0 1000.0L0.0 1000.0\""), "a dot: {page}");
    }

    proptest! {
        #[test]
        fn everything_is_within_the_plot(
            least in 0.0..1e12_f64,
            more in 0.0..1e12_f64,
            share in 0.0..1.0,
        ) {
            let most = least + more;
            let value = least + more * share;
            let axes = [
                Axis::from_zero(most, plain),
                Axis::up_to(most, &[1.0, 10.0], plain),
                Axis::logarithmic(least, most, plain),
            ];
            for axis in axes {
                let place = axis.place(value);
                prop_assert!((0.0..=SIDE).contains(&place));
                prop_assert!(!axis.ticks.is_empty() && axis.ticks.len() < 20, "{} ticks", axis.ticks.len());
                prop_assert!(axis.place(most) >= place);
            }
        }
    }
}
