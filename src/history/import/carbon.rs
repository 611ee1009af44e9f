//! How much carbon a kilowatt-hour costs over time: `ts,gCO2_per_kWh`.

use super::capacity::amount;
use super::fault::{Fault, ImportError, TableSummary};
use super::moment::moment;
use super::table::{Column, Table};
use std::io::BufRead;

const COLUMNS: [Column; 2] = [Column::needed("ts"), Column::needed("gco2_per_kwh")];

/// Hands each row to `visit`: seconds since 1970, grams of CO2 per kWh. Moments are
/// dates such as `2022-01-01T00:00:00Z`, or numbers; they come as the table has them.
///
/// # Errors
/// When the table cannot be read or lacks a column.
pub fn read_carbon(input: impl BufRead, visit: &mut dyn FnMut(i64, f64)) -> Result<TableSummary, ImportError> {
    Table::open(input)?.each_row(&COLUMNS, &mut |_| {}, |[ts, grams]| {
        let at = moment(ts).ok_or(Fault::NoMoment("ts"))?;
        visit(at, amount(grams, "gCO2_per_kWh")?);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_read_and_broken_rows_are_told() {
        let table = "ts,gCO2_per_kWh\r\n2022-01-01T00:00:00Z,29.001\r\n2022-01-01T01:00:00Z,-1\r\n\r\nnever,3\r\n2022-01-01T02:00:00Z,0\r\n";
        let mut series = Vec::new();
        let summary = read_carbon(table.as_bytes(), &mut |at, grams| series.push((at, grams))).unwrap();
        assert_eq!(series, [(1_640_995_200, 29.001), (1_641_002_400, 0.0)]);
        let told: Vec<(u64, &str)> = summary.first_broken.iter().map(|row| (row.line, row.reason.as_str())).collect();
        assert_eq!(told, [(3, "gCO2_per_kWh is negative: 2022-01-01T01:00:00Z,-1"), (5, "ts is no moment: never,3")]);
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = read_carbon(&b"ts,carbon\n"[..], &mut |_, _| {}).unwrap_err().to_string();
        assert_eq!(error, "column gco2_per_kwh is missing; the header has ts, carbon");
    }
}
