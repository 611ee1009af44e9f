//! Plots as SVG.

use crate::demand::estimator::HORIZON_NAMES;
use crate::demand::evaluation::{Evaluation, OURS};
use crate::model::resource::Resource;
use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Colours that colour-blind people tell apart too (Okabe and Ito); yellow is too pale for lines.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];
const GRID: RGBColor = RGBColor(228, 230, 234);
const AXIS: RGBColor = RGBColor(110, 119, 129);

/// Width and height of a plot over time, in pixels, and what is kept free for names on the right.
const WIDE: (u32, u32) = (960, 540);
const NAMES: u32 = 230;
/// Names keep so many pixels apart.
const APART: i32 = 17;

/// A line: its name, with a number, and its points.
pub type Line = (String, Vec<(f64, f64)>);

/// Lines over time, each with its name at its end; the vertical axis begins at `from`.
pub fn over_time(title: &str, (across, up): (&str, &str), from: f64, lines: &[Line]) -> Result<String> {
    let mut svg = String::new();
    draw_lines(&mut svg, title, (across, up), from, lines).map_err(|error| anyhow!("{error}"))?;
    Ok(svg)
}

fn draw_lines(
    svg: &mut String,
    title: &str,
    (across, up): (&str, &str),
    from: f64,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
    let most = points().map(|point| point.1).filter(|value| value.is_finite()).fold(from, f64::max);
    let most = from + (most - from).max(0.05) * 1.05;
    let area = SVGBackend::with_string(svg, WIDE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .margin_right(NAMES)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, from..most)?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(AXIS).label_style(("sans-serif", 13));
    mesh.x_desc(across).y_desc(up).draw()?;
    let mut ends = Vec::with_capacity(lines.len());
    for (index, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        if let Some(end) = points.last() {
            let (x, y) = chart.backend_coord(end);
            ends.push((y, x, colour, name));
        }
    }
    ends.sort_by_key(|end| (end.0, end.3));
    let mut free = i32::MIN;
    for (y, x, colour, name) in ends {
        let at = y.max(free);
        free = at.saturating_add(APART);
        area.draw(&PathElement::new([(x + 2, y), (x + 10, at)], colour))?;
        area.draw(&Text::new(name.clone(), (x + 13, at - 7), ("sans-serif", 14).into_font().color(&colour)))?;
    }
    area.present()?;
    Ok(())
}

/// Points of one plot, at most.
const POINTS: usize = 2000;

/// Side of one of the four plots in pixels.
const SIDE: u32 = 420;

/// Estimated against used, ours: level and peak at both horizons, in a unit that is so much.
pub fn estimated_against_used(
    evaluation: &Evaluation,
    resource: Resource,
    (name, unit): (&str, f64),
) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (2 * SIDE, 2 * SIDE)).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((2, 2));
        let kinds = [(0, false), (0, true), (1, false), (1, true)];
        for (area, (horizon, peak)) in areas.iter().zip(kinds) {
            let errors = evaluation.errors(OURS, horizon, peak, resource);
            let pairs: Vec<(f32, f32)> = errors.pairs.iter().map(|(a, b)| (a / unit as f32, b / unit as f32)).collect();
            let most = pairs.iter().map(|(a, b)| a.max(*b)).fold(1.0_f32, f32::max);
            let r2 = errors.score().map_or(String::new(), |score| format!(", R2 {:.2}", score.r2));
            let title = format!("{} {}{r2}", if peak { "peak" } else { "level" }, HORIZON_NAMES[horizon]);
            let mut chart = ChartBuilder::on(area)
                .caption(title, ("sans-serif", 16))
                .margin(8)
                .margin_right(28)
                .x_label_area_size(32)
                .y_label_area_size(44)
                .build_cartesian_2d(0.0..most, 0.0..most)
                .map_err(|error| anyhow!("{error}"))?;
            let mut mesh = chart.configure_mesh();
            mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(AXIS);
            let mesh = mesh.x_desc(format!("estimated, {name}")).y_desc(format!("used, {name}")).draw();
            mesh.map_err(|error| anyhow!("{error}"))?;
            let every = pairs.len().div_ceil(POINTS).max(1);
            let points = pairs.iter().step_by(every).map(|pair| Circle::new(*pair, 2, COLOURS[0].mix(0.3).filled()));
            chart.draw_series(points).map_err(|error| anyhow!("{error}"))?;
            let line = LineSeries::new([(0.0, 0.0), (most, most)], &AXIS);
            chart.draw_series(line).map_err(|error| anyhow!("{error}"))?;
        }
        root.present()?;
    }
    Ok(svg)
}
