//! Pictures of what was measured, as SVG.
//!
//! Only this file knows the plotting crate. It draws numbers that others have measured and changes none of them.

use plotters::coord::Shift;
use plotters::prelude::*;
use rafty_agent::{Failure, output};
use std::path::Path;

/// Width of a picture, in pixels.
const WIDTH: u32 = 960;
/// Height of each of its panels.
const PANEL: u32 = 320;
/// Room for a title.
const TITLE: u32 = 36;
/// Bars of a histogram.
const BARS: usize = 60;
/// Lines of one panel take these in turn.
const COLOURS: [RGBColor; 5] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
];

/// One diagram of a picture.
pub(crate) struct Panel<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Curve>,
}

/// Points, joined in their order.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect() }
    }

    /// How often each of `values` up to the last comes, as the outline of bars.
    pub(crate) fn histogram(name: impl Into<String>, values: &[f64]) -> Self {
        let most = values.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let width = most / BARS as f64;
        let mut counts = [0_u32; BARS];
        for value in values {
            counts[((value / width) as usize).min(BARS - 1)] += 1;
        }
        let outline = counts.iter().enumerate().flat_map(|(bar, count)| {
            let (from, count) = (bar as f64 * width, f64::from(*count));
            [(from, count), (from + width, count)]
        });
        Self::new(name, outline)
    }
}

/// Draws `panels` one below the other.
pub(crate) fn draw(path: &Path, title: &str, panels: &[Panel<'_>]) -> Result<(), Failure> {
    let height = TITLE + PANEL * u32::try_from(panels.len()).unwrap_or(1);
    let picture = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let drawn = (|| {
        picture.fill(&WHITE)?;
        let below = picture.titled(title, ("sans-serif", 20))?;
        let areas = below.split_evenly((panels.len(), 1));
        areas.iter().zip(panels).try_for_each(|(area, panel)| draw_panel(area, panel))?;
        picture.present()
    })();
    drawn.map_err(|error| Failure::failed(format!("cannot draw {}: {error}", path.display())))?;
    output::note(format_args!("drew {}", path.display()));
    Ok(())
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw_panel<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, panel: &Panel<'_>) -> Drawn<'a> {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let first = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min).min(0.0);
    let (right, top) = (most(&mut points().map(|(x, _)| *x)), most(&mut points().map(|(_, y)| *y)));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(76)
        .build_cartesian_2d(first..right * 1.02, 0.0..top * 1.05)?;
    chart
        .configure_mesh()
        .x_desc(panel.x)
        .y_desc(panel.y)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .draw()?;
    for (line, colour) in panel.lines.iter().zip(COLOURS.into_iter().cycle()) {
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    if panel.lines.len() > 1 {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .label_font(("sans-serif", 13))
            .position(SeriesLabelPosition::UpperRight)
            .draw()?;
    }
    Ok(())
}

/// As short as it is still clear.
fn number(value: &f64) -> String {
    if value.abs() >= 10_000.0 {
        format!("{:.0}k", value / 1e3)
    } else if value.abs() >= 10.0 || *value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_value_once() {
        let values: Vec<f64> = (0..1_000).map(f64::from).collect();
        let bars = Curve::histogram("", &values);
        assert_eq!(bars.points.len(), 2 * BARS);
        assert_eq!(bars.points.iter().map(|(_, count)| count).sum::<f64>(), 2_000.0);
        assert!((998.9..999.1).contains(&bars.points.last().unwrap().0));
    }

    #[test]
    fn a_picture_shows_every_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        let lines = vec![
            Curve::new("first line", [(0.0, 1.0), (2.0, 3.0)]),
            Curve::new("second line", [(0.0, 20_000.0)]),
        ];
        let empty = Panel { x: "nothing", y: "none", lines: vec![] };
        draw(&path, "the title", &[Panel { x: "seconds", y: "megabytes", lines }, empty]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for word in ["the title", "seconds", "megabytes", "first line", "second line", "20k", "nothing"] {
            assert!(svg.contains(word), "{word}");
        }
    }
}
