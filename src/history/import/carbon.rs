//! How much carbon a kilowatt-hour costs over time, from the forms that feeds have:
//!
//! | feed | form |
//! |---|---|
//! | our own | CSV `ts,gCO2_per_kWh` |
//! | ElectricityMaps | CSV of the portal, both generations of its header (life cycle, else direct); JSON of the API |
//! | WattTime | JSON of `historical` and `forecast`, in lb/MWh |
//! | Carbon Aware SDK | JSON of the web API and of its data files; CSV `location,time,rating,duration` |
//!
//! Marginal intensity (WattTime's MOER) and average intensity are not the same thing: of one
//! zone, one kind should be kept.

use super::capacity::amount;
use super::fault::{Fault, ImportError, TableSummary};
use super::moment::moment;
use super::table::{Column, Table};
use serde_json::Value;
use std::io::{BufRead, Read};

const COLUMNS: [Column; 2] = [Column::needed("ts"), Column::needed("gco2_per_kwh")];

/// Grams per kWh of a pound per MWh.
const POUNDS: f64 = 0.453_592_37;

/// Bytes of a document; a year of five-minute values is 20 MB.
const LARGEST: u64 = 256 << 20;

/// Hands each value to `visit`: seconds since 1970, grams of CO2 per kWh. Moments are
/// dates such as `2022-01-01T00:00:00Z`, or numbers; they come as the feed has them.
///
/// # Errors
/// When the feed cannot be read, lacks a column, or is in units that are not known.
pub fn read_carbon(mut input: impl BufRead, visit: &mut dyn FnMut(i64, f64)) -> Result<TableSummary, ImportError> {
    let start = input.fill_buf().map_err(|source| ImportError::Read { line: 0, source })?;
    if start.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
        return document(input, visit);
    }
    let mut table = Table::open(input)?;
    let mut factor = 1.0;
    if !table.has("ts") {
        let _ = table.rename(|name| name == "datetime (utc)", "ts") || table.rename(|name| name == "time", "ts");
    }
    if !table.has("gco2_per_kwh") {
        let intensity = |name: &str| name.starts_with("carbon intensity");
        let whole_life = |name: &str| intensity(name) && (name.contains("life cycle") || name.contains("lca"));
        let _ = table.rename(whole_life, "gco2_per_kwh")
            || table.rename(|name| intensity(name) && name.contains("direct"), "gco2_per_kwh")
            || table.rename(|name| name == "rating", "gco2_per_kwh");
        if !table.has("gco2_per_kwh")
            && table.rename(|name| name.contains("lb") && name.contains("mwh"), "gco2_per_kwh")
        {
            factor = POUNDS;
        }
    }
    table.each_row(&COLUMNS, &mut |_| {}, |[ts, grams]| {
        let at = moment(ts).ok_or(Fault::NoMoment("ts"))?;
        visit(at, factor * amount(grams, "gCO2_per_kWh")?);
        Ok(())
    })
}

/// Names of lists, of moments and of amounts, in the forms that are known.
const LISTS: [&str; 5] = ["history", "forecast", "data", "Emissions", "forecastData"];
const MOMENTS: [&str; 6] = ["datetime", "point_time", "time", "Time", "timestamp", "from"];
const AMOUNTS: [&str; 4] = ["carbonIntensity", "value", "rating", "Rating"];

fn document(input: impl BufRead, visit: &mut dyn FnMut(i64, f64)) -> Result<TableSummary, ImportError> {
    let mut bytes = Vec::new();
    input.take(LARGEST).read_to_end(&mut bytes).map_err(|source| ImportError::Read { line: 0, source })?;
    let whole: Value = serde_json::from_slice(&bytes).map_err(|error| ImportError::Document(error.to_string()))?;
    let factor = match whole.pointer("/meta/units").and_then(Value::as_str) {
        None => 1.0,
        Some("lbs_co2_per_mwh") => POUNDS,
        Some(other) => return Err(ImportError::Units(other.to_owned())),
    };
    let mut summary = TableSummary { bytes: bytes.len() as u64, ..TableSummary::default() };
    let mut lists = 0;
    each_list(&whole, &mut |list| {
        lists += 1;
        for one in list {
            let row = one.to_string();
            // what is not known yet stands there as null
            if AMOUNTS.iter().any(|name| one.get(name).is_some_and(Value::is_null)) {
                continue;
            }
            let outcome = value(one).map(|(at, grams)| visit(at, grams * factor));
            summary.count(summary.rows + summary.broken + 1, row.as_bytes(), outcome);
        }
    });
    if lists == 0 {
        return Err(ImportError::Document(format!("none of the lists {} is there", LISTS.join(", "))));
    }
    Ok(summary)
}

/// The lists of values, wherever they are: whole answers are lists, or hold some.
fn each_list(value: &Value, visit: &mut dyn FnMut(&[Value])) {
    match value {
        Value::Array(list) => match list.first() {
            Some(first) if LISTS.iter().any(|name| first.get(name).is_some()) => {
                list.iter().for_each(|one| each_list(one, visit));
            }
            _ => visit(list),
        },
        Value::Object(object) => {
            LISTS.iter().filter_map(|name| object.get(*name)).for_each(|list| each_list(list, visit));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn value(one: &Value) -> Result<(i64, f64), Fault> {
    let at = MOMENTS.iter().find_map(|name| one.get(name)?.as_str());
    let at = at.and_then(|text| moment(text.as_bytes())).ok_or(Fault::NoMoment("the time"))?;
    let nested = || {
        let intensity = one.get("intensity")?;
        intensity.get("actual").filter(|actual| !actual.is_null()).or_else(|| intensity.get("forecast"))?.as_f64()
    };
    let grams = AMOUNTS.iter().find_map(|name| one.get(name)?.as_f64()).or_else(nested);
    match grams.ok_or(Fault::NoNumber("the intensity"))? {
        grams if grams < 0.0 => Err(Fault::Negative("the intensity")),
        grams => Ok((at, grams)),
    }
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

    fn all(feed: &str) -> Vec<(i64, f64)> {
        let mut series = Vec::new();
        let summary = read_carbon(feed.as_bytes(), &mut |at, grams| series.push((at, grams))).unwrap();
        assert_eq!(summary.rows as usize, series.len(), "{summary:?}");
        series
    }

    #[test]
    fn tables_of_both_generations_of_the_portal_are_read() {
        let newer = "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),Carbon intensity \
                     gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%)\n\
                     2025-01-01 00:00:00,Belgium,Belgium,BE,100.5,150.25,60\n2025-01-01 01:00:00,B,B,BE,,,\n";
        let older = "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity \
                     gCO₂eq/kWh (LCA),Low Carbon Percentage\n2025-01-01 00:00:00,Belgium,Belgium,BE,100.5,150.25,60\n";
        let direct = "Datetime (UTC),Carbon Intensity gCO2eq/kWh (direct)\n2025-01-01 00:00:00,100.5\n";
        assert_eq!(all(newer), [(1_735_689_600, 150.25)]);
        assert_eq!(all(older), [(1_735_689_600, 150.25)]);
        assert_eq!(all(direct), [(1_735_689_600, 100.5)]);
        assert_eq!(
            all("location,time,rating,duration\nx,2025-01-01T01:00:00+01:00,70,PT1H\n"),
            [(1_735_689_600, 70.0)]
        );
        let pounds = all("time,MOER lbs CO2/MWh\n2025-01-01T00:00:00Z,1000\n");
        assert!((pounds[0].1 - 453.592_37).abs() < 1e-9, "{pounds:?}");
    }

    #[test]
    fn documents_of_the_known_feeds_are_read_in_their_units() {
        let at = 1_735_689_600;
        let maps = r#"{"zone":"BE","history":[{"carbonIntensity":180,"datetime":"2025-01-01T00:00:00.000Z","isEstimated":false},
                       {"carbonIntensity":null,"datetime":"2025-01-01T01:00:00.000Z"}]}"#;
        assert_eq!(all(maps), [(at, 180.0)]);
        let forecast = r#"{"zone":"BE","forecast":[{"carbonIntensity":90.5,"datetime":"2025-01-01T00:00:00Z"}]}"#;
        assert_eq!(all(forecast), [(at, 90.5)]);
        let watt = r#"{"data":[{"point_time":"2025-01-01T00:00:00+00:00","value":1000}],
                       "meta":{"region":"X","signal_type":"co2_moer","units":"lbs_co2_per_mwh"}}"#;
        assert!((all(watt)[0].1 - 453.592_37).abs() < 1e-9);
        assert_eq!(all(r#"[{"location":"eastus","time":"2025-01-01T00:00:00+00:00","rating":70}]"#), [(at, 70.0)]);
        assert_eq!(
            all(r#"{"Emissions":[{"Location":"e","Time":"2025-01-01T00:00:00Z","Rating":70,"Duration":"01:00"}]}"#),
            [(at, 70.0)]
        );
        let several = r#"[{"generatedAt":"x","optimalDataPoint":{},"forecastData":[{"location":"e","timestamp":"2025-01-01T00:00:00Z","duration":5,"value":7}]}]"#;
        assert_eq!(all(several), [(at, 7.0)]);
        assert_eq!(
            all(r#"{"data":[{"from":"2025-01-01T00:00Z","to":"x","intensity":{"forecast":5,"actual":null}}]}"#),
            [(at, 5.0)]
        );
    }

    #[test]
    fn documents_that_are_no_series_are_told_in_one_sentence() {
        let told = |text: &str| read_carbon(text.as_bytes(), &mut |_, _| {}).unwrap_err().to_string();
        assert!(told(r#"{"data":[],"meta":{"units":"tons"}}"#).contains("its amounts are in tons"));
        assert!(told(r#"{"zone":"BE"}"#).contains("none of the lists"));
        assert!(told(r#"{"history":[{"carbonInt"#).contains("no series"));
        let mut seen = 0;
        let half = r#"{"history":[{"datetime":"never","carbonIntensity":1},{"datetime":"2025-01-01T00:00:00Z","carbonIntensity":-1},
                       {"datetime":"2025-01-01T00:00:00Z"},7]}"#;
        let summary = read_carbon(half.as_bytes(), &mut |_, _| seen += 1).unwrap();
        assert_eq!((seen, summary.broken), (0, 4), "{summary:?}");
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = read_carbon(&b"ts,carbon\n"[..], &mut |_, _| {}).unwrap_err().to_string();
        assert_eq!(error, "column gco2_per_kwh is missing; the header has ts, carbon");
    }

    #[test]
    fn documents_are_read_in_each_form_and_what_is_odd_is_told() {
        let read = |text: &str| {
            let mut values = Vec::new();
            let summary = read_carbon(text.as_bytes(), &mut |at, grams| values.push((at, grams)));
            summary.map(|summary| (values, summary.rows, summary.broken)).map_err(|error| error.to_string())
        };
        let at = 1_640_995_200;
        let moment = "2022-01-01T00:00:00Z";
        let one =
            |list: &str, time: &str, amount: &str| format!("{{\"{list}\": [{{\"{time}\": \"{moment}\", {amount}}}]}}");
        for (text, grams) in [
            (one("history", "datetime", "\"carbonIntensity\": 5"), 5.0),
            (one("data", "point_time", "\"value\": 6.5"), 6.5),
            (one("forecast", "timestamp", "\"rating\": 0"), 0.0),
            (one("Emissions", "Time", "\"Rating\": 7"), 7.0),
            (one("forecastData", "time", "\"value\": 8"), 8.0),
            (one("data", "from", "\"intensity\": {\"actual\": 9, \"forecast\": 1}"), 9.0),
            (one("data", "from", "\"intensity\": {\"actual\": null, \"forecast\": 10}"), 10.0),
            (format!("[{}]", one("forecast", "time", "\"value\": 11")), 11.0),
            (format!("[{{\"time\": \"{moment}\", \"rating\": 12}}]"), 12.0),
        ] {
            assert_eq!(read(&text), Ok((vec![(at, grams)], 1, 0)), "{text}");
        }
        for amount in ["\"value\": -1", "\"other\": 1", "\"intensity\": {\"actual\": \"x\"}"] {
            assert_eq!(read(&one("data", "time", amount)), Ok((vec![], 0, 1)), "{amount}");
        }
        // what is not known yet is no fault
        assert_eq!(read(&one("data", "time", "\"value\": null")), Ok((vec![], 0, 0)));
        assert_eq!(read(&one("data", "elsewhen", "\"value\": 1")), Ok((vec![], 0, 1)));
        let pounds = format!(
            "{{\"meta\": {{\"units\": \"lbs_co2_per_mwh\"}}, \"data\": [{{\"point_time\": \"{moment}\", \"value\": 1000}}]}}"
        );
        let (values, ..) = read(&pounds).unwrap();
        assert!((values[0].1 - 453.592_37).abs() < 1e-9, "{values:?}");
        let other = pounds.replace("lbs_co2_per_mwh", "stones");
        assert_eq!(read(&other), Err("its amounts are in stones; g/kWh and lb/MWh are known".to_owned()));
        let none = "it is no series of carbon intensity that is known: none of the lists history, forecast, data, Emissions, forecastData is there";
        assert_eq!(read("{\"other\": []}"), Err(none.to_owned()));
        assert!(read("{").unwrap_err().starts_with("it is no series of carbon intensity that is known: "));
        assert!(read("[]").is_ok_and(|(values, ..)| values.is_empty()));
    }

    #[test]
    fn of_several_columns_the_whole_life_counts_and_pounds_are_grams() {
        let read = |header: &str, row: &str| {
            let mut values = Vec::new();
            let text = format!("{header}\n{row}\n");
            let summary = read_carbon(text.as_bytes(), &mut |at, grams| values.push((at, grams)));
            summary
                .map(|_| values.first().map(|(at, grams)| (*at, (grams * 1000.0).round())))
                .map_err(|e| e.to_string())
        };
        let found = |grams: f64| Ok(Some((100, grams * 1000.0)));
        assert_eq!(read("ts,gCO2_per_kWh", "100,5"), found(5.0));
        assert_eq!(
            read(
                "Datetime (UTC),Carbon intensity gCO2eq/kWh (direct),Carbon intensity gCO2eq/kWh (Life cycle)",
                "100,5,6"
            ),
            found(6.0)
        );
        assert_eq!(
            read("Datetime (UTC),Carbon Intensity gCO2eq/kWh (direct),Carbon Intensity gCO2eq/kWh (LCA)", "100,5,6"),
            found(6.0)
        );
        assert_eq!(read("Datetime (UTC),Carbon intensity gCO2eq/kWh (direct)", "100,5"), found(5.0));
        assert_eq!(read("location,time,rating,duration", "x,100,7,1"), found(7.0));
        assert_eq!(read("ts,MOER lbs per MWh", "100,1000"), Ok(Some((100, 453_592.0))));
        assert_eq!(read("ts,gCO2_per_kWh,lb per mwh", "100,5,1000"), found(5.0));
        // each word by itself is another column's
        assert_eq!(read("ts,direct line,Carbon intensity gCO2eq/kWh (direct)", "100,1,5"), found(5.0));
        assert_eq!(read("ts,Carbon intensity class,rating", "100,1,5"), found(5.0));
        assert_eq!(read("ts,rating,MOER lb per MWh", "100,5,1000"), found(5.0));
        assert_eq!(read("ts,lb in all,MWh,MOER lb per MWh", "100,1,2,1000"), Ok(Some((100, 453_592.0))));
        assert!(read("ts,other", "100,5").unwrap_err().contains("column gco2_per_kwh is missing"));
    }
}
