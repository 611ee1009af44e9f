//! Plots as SVG.

use crate::demand::estimator::HORIZON_NAMES;
use crate::demand::evaluation::{Evaluation, OURS};
use crate::model::resource::Resource;
use anyhow::{Result, anyhow};
use plotters::prelude::*;

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
                .x_label_area_size(32)
                .y_label_area_size(44)
                .build_cartesian_2d(0.0..most, 0.0..most)
                .map_err(|error| anyhow!("{error}"))?;
            let mesh = chart.configure_mesh().x_desc(format!("estimated, {name}")).y_desc("used").draw();
            mesh.map_err(|error| anyhow!("{error}"))?;
            let every = pairs.len().div_ceil(POINTS).max(1);
            let points = pairs.iter().step_by(every).map(|pair| Circle::new(*pair, 2, BLUE.mix(0.3).filled()));
            chart.draw_series(points).map_err(|error| anyhow!("{error}"))?;
            let line = LineSeries::new([(0.0, 0.0), (most, most)], &BLACK);
            chart.draw_series(line).map_err(|error| anyhow!("{error}"))?;
        }
        root.present()?;
    }
    Ok(svg)
}
