//! The moments of every policy as lines, in an SVG file.

use crate::simulation::stage::Moment;
use crate::simulation::summary::Summary;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// Width and height, pixels.
const SIZE: (u32, u32) = (960, 540);

/// Draws fullest over mean host by the days of the trace.
pub fn draw(file: &Path, stage: &[Moment], rows: &[Summary]) -> Result<()> {
    let mut text = String::new();
    lines(&mut text, stage, rows).map_err(|error| anyhow!("{error}"))?;
    std::fs::write(file, text)?;
    Ok(())
}

fn lines(text: &mut String, stage: &[Moment], rows: &[Summary]) -> Result<(), Box<dyn std::error::Error>> {
    let begin = stage.first().map_or(0, |moment| moment.at);
    let day = |moment: &Moment| (moment.at - begin) as f64 / 86_400.0;
    let last = stage.last().map_or(0.0, day).max(1.0);
    let most = rows.iter().map(|row| row.worst).fold(1.0, f64::max) * 1.05;
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Load of the fullest host over the mean host", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last, 1.0..most)?;
    chart.configure_mesh().x_desc("days since the first moment").y_desc("fullest / mean").draw()?;
    for (index, row) in rows.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let points = stage.iter().zip(&row.by_moment).map(|(moment, value)| (day(moment), *value));
        let name = format!("{} ({:.2})", row.name, row.fullest);
        let series = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
