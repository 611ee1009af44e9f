//! The moments of every policy as lines, in an SVG file.

use crate::commands::show::plot::{Line, over_time};
use crate::simulation::stage::Moment;
use crate::simulation::summary::Summary;
use anyhow::Result;
use std::path::Path;

/// Draws fullest over mean host by the days of the trace.
pub fn draw(file: &Path, stage: &[Moment], rows: &[Summary]) -> Result<()> {
    let begin = stage.first().map_or(0, |moment| moment.at);
    let day = |moment: &Moment| (moment.at - begin) as f64 / 86_400.0;
    let line = |row: &Summary| -> Line {
        let points = stage.iter().zip(&row.by_moment).map(|(moment, value)| (day(moment), *value)).collect();
        (format!("{} ({:.2})", row.name, row.fullest), points)
    };
    let lines: Vec<Line> = rows.iter().map(line).collect();
    let axes = ("days since the first moment", "fullest / mean");
    std::fs::write(file, over_time("Load of the fullest host over the mean host", axes, 1.0, &lines)?)?;
    Ok(())
}
