//! Plots as SVG: lines with their spread over a logarithmic axis, readable on light and dark paper.

use std::fmt::Write as _;

/// A plot: sizes from left to right, on a logarithmic axis; costs from 0 up.
pub struct Plot {
    /// What is to be seen.
    pub title: String,
    /// The name of the horizontal axis.
    pub x: String,
    /// The name of the vertical axis, with its unit.
    pub y: String,
    /// The curves, at most four.
    pub series: Vec<Points>,
}

/// One curve.
pub struct Points {
    /// For the legend.
    pub name: String,
    /// Size; and lower quartile, median and upper quartile of the cost.
    pub points: Vec<(f64, [f64; 3])>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Colours are chosen by the reader's scheme; the curves differ in their dashes too.
const STYLE: &str = "\
  .paper { fill: #ffffff } text { fill: #1f2328; font: 13px sans-serif } .title { font-size: 16px; font-weight: bold }
  .grid { stroke: #d0d7de; stroke-width: 1 } .curve { fill: none; stroke-width: 2 } .spread { stroke-width: 1.5 }
  .s0 { stroke: #0550ae } .s1 { stroke: #bc4c00; stroke-dasharray: 7 4 } .s2 { stroke: #116329; stroke-dasharray: 2 3 }
  .s3 { stroke: #8250df; stroke-dasharray: 9 3 2 3 } .d0 { fill: #0550ae } .d1 { fill: #bc4c00 } .d2 { fill: #116329 }
  .d3 { fill: #8250df } .spread { stroke-dasharray: none }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d }
    .s0 { stroke: #79c0ff } .s1 { stroke: #ffa657 } .s2 { stroke: #7ee787 } .s3 { stroke: #d2a8ff }
    .d0 { fill: #79c0ff } .d1 { fill: #ffa657 } .d2 { fill: #7ee787 } .d3 { fill: #d2a8ff }
  }";

/// From values to places on the paper.
struct Scale {
    from: f64,
    to: f64,
    top: f64,
}

impl Scale {
    fn x(&self, size: f64) -> f64 {
        let share = (size / self.from).ln() / (self.to / self.from).ln().max(f64::EPSILON);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, cost: f64) -> f64 {
        HEIGHT - BOTTOM - cost / self.top * (HEIGHT - TOP - BOTTOM)
    }
}

impl Plot {
    /// The whole file.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let step = step(points().map(|(_, [.., upper])| *upper).fold(0.0, f64::max));
        let highest = points().map(|(_, [.., upper])| (upper / step).ceil() * step).fold(step, f64::max);
        let scale = Scale {
            from: points().map(|(size, _)| *size).fold(f64::INFINITY, f64::min),
            to: points().map(|(size, _)| *size).fold(0.0, f64::max),
            top: highest,
        };
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
             <title>{}</title>\n<style>\n{STYLE}\n</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
            escape(&self.title)
        );
        // Writing to a string does not fail.
        let _ = self.write_axes(&mut out, &scale, step);
        for (number, series) in self.series.iter().enumerate() {
            let _ = series.write(&mut out, &scale, number);
        }
        if self.series.len() > 1 {
            let _ = self.write_legend(&mut out);
        }
        out + "</svg>\n"
    }

    fn write_axes(&self, out: &mut String, scale: &Scale, step: f64) -> std::fmt::Result {
        let (right, bottom, middle) = (WIDTH - RIGHT, HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2.0);
        writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"28\">{}</text>", escape(&self.title))?;
        for number in 0..=(scale.top / step).round() as u32 {
            let cost = f64::from(number) * step;
            let y = scale.y(cost);
            writeln!(out, "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>")?;
            let (x, y, digits) = (LEFT - 8.0, y + 4.0, usize::from(step < 1.0));
            writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{cost:.digits$}</text>")?;
        }
        let mut sizes: Vec<f64> =
            self.series.iter().flat_map(|series| series.points.iter().map(|(size, _)| *size)).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        for size in sizes {
            let x = scale.x(size);
            writeln!(out, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>")?;
            let y = bottom + 20.0;
            writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", thousands(size))?;
        }
        let (y, x) = (HEIGHT - 14.0, (TOP + bottom) / 2.0);
        writeln!(out, "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escape(&self.x))?;
        let words = escape(&self.y);
        writeln!(
            out,
            "<text transform=\"translate(20 {x}) rotate(-90)\" text-anchor=\"middle\">{words}</text>"
        )
    }

    fn write_legend(&self, out: &mut String) -> std::fmt::Result {
        let (x, y, height) = (WIDTH - RIGHT - 230.0, TOP + 4.0, 8.0 + 20.0 * self.series.len() as f64);
        writeln!(out, "<rect class=\"paper\" x=\"{x}\" y=\"{y}\" width=\"226\" height=\"{height}\"/>")?;
        for (number, series) in self.series.iter().enumerate() {
            let (x, y) = (WIDTH - RIGHT - 220.0, TOP + 18.0 + 20.0 * number as f64);
            let (end, text, baseline) = (x + 32.0, x + 40.0, y + 4.0);
            writeln!(out, "<line class=\"curve s{number}\" x1=\"{x}\" y1=\"{y}\" x2=\"{end}\" y2=\"{y}\"/>")?;
            writeln!(out, "<text x=\"{text}\" y=\"{baseline}\">{}</text>", escape(&series.name))?;
        }
        Ok(())
    }
}

impl Points {
    fn write(&self, out: &mut String, scale: &Scale, number: usize) -> std::fmt::Result {
        let line = self
            .points
            .iter()
            .map(|(size, [_, median, _])| format!("{:.1},{:.1}", scale.x(*size), scale.y(*median)));
        let line = line.collect::<Vec<_>>().join(" ");
        writeln!(out, "<polyline class=\"curve s{number}\" points=\"{line}\"/>")?;
        for (size, [lower, median, upper]) in &self.points {
            let (x, y, low, high) = (scale.x(*size), scale.y(*median), scale.y(*lower), scale.y(*upper));
            writeln!(
                out,
                "<line class=\"spread s{number}\" x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\"/>\
                 <circle class=\"d{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            )?;
        }
        Ok(())
    }
}

/// A round distance between lines of the grid, so that there are four to ten of them up to `highest`.
fn step(highest: f64) -> f64 {
    let power = 10_f64.powf((highest.max(1e-3) / 4.0).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|it| it * power);
    steps.into_iter().find(|step| highest / step >= 4.0).unwrap_or(power)
}

fn thousands(size: f64) -> String {
    let digits = format!("{size:.0}");
    match digits.len() {
        0..=3 => digits,
        length => format!("{},{}", &digits[..length - 3], &digits[length - 3..]),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_distances() {
        assert_eq!([step(9.0), step(43.0), step(0.9)], [2.0, 10.0, 0.2]);
    }

    #[test]
    fn every_point_is_on_the_paper() {
        let points = vec![(1.0, [1.0, 2.0, 3.0]), (10_000.0, [1.0, 2.0, 11.0])];
        let series = vec![Points { name: "a < b".to_owned(), points }];
        let plot = Plot { title: "t".to_owned(), x: "x".to_owned(), y: "y".to_owned(), series };
        let svg = plot.svg();
        assert!(svg.contains("points=\"70.0,") && svg.contains(" 690.0,"), "{svg}");
        assert!(svg.contains(">10,000</text>"));
    }
}
