//! The curves as a picture.

use crate::{Curves, Outcome};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (760, 420);

/// What stands in the picture.
pub struct Words<'a> {
    /// Above it.
    pub caption: &'a str,
    /// The names of the lines.
    pub federated: &'a str,
    /// That of the devices by themselves.
    pub alone: &'a str,
}

pub(crate) fn draw(curves: &Curves, words: &Words<'_>, file: &Path) -> Outcome<()> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let rounds = curves.federated.len();
    let mut chart = ChartBuilder::on(&area)
        .caption(words.caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(46)
        .build_cartesian_2d(1..rounds, 0.0..100.0)?;
    chart.configure_mesh().x_desc("round").y_desc("told right, %").light_line_style(WHITE).draw()?;
    let lines = [
        ("all data pooled", &curves.pooled, RGBColor(130, 130, 130)),
        (words.federated, &curves.federated, RGBColor(20, 110, 190)),
        (words.alone, &curves.alone, RGBColor(200, 90, 30)),
    ];
    for (name, curve, colour) in lines {
        let points = curve.iter().enumerate().map(|(at, percent)| (at + 1, *percent));
        let series = LineSeries::new(points, colour.stroke_width(2));
        chart
            .draw_series(series)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    area.present()?;
    Ok(())
}
