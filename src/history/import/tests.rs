//! Both forms, in good and in bad shape.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::{BufReader, Write};

const BITBRAINS_HEADER: &str = "Timestamp [ms];\tCPU cores;\tCPU capacity provisioned [MHZ];\tCPU usage [MHZ];\tCPU usage [%];\tMemory capacity provisioned [KB];\tMemory usage [KB];\tDisk read throughput [KB/s];\tDisk write throughput [KB/s];\tNetwork received throughput [KB/s];\tNetwork transmitted throughput [KB/s]\n";

fn capacities() -> Capacities {
    let mut capacities = Capacities::default();
    capacities.set(VmId(9), i64::MIN, 1.0);
    capacities.set(VmId(25), i64::MIN, 32.0);
    capacities
}

fn read(input: impl BufRead, vm: Option<VmId>) -> Result<(Vec<VmSample>, ImportSummary), ImportError> {
    let capacities = capacities();
    let mut samples = Vec::new();
    let origin = Origin { vm, capacities: &capacities };
    let summary = read_samples(input, &origin, &mut |_| {}, &mut |sample| samples.push(sample))?;
    Ok((samples, summary))
}

fn error(text: &str) -> String {
    read(text.as_bytes(), None).unwrap_err().to_string()
}

fn zipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const METRICS_TABLE: &str = "\
ts,vmid,cpu_percent,mem_kb,disk_read_kbps,disk_write_kbps,net_rx_kbps,net_tx_kbps
1375308176,9,22.6,363505,1.5,7.5,0.5,2.5
1375308476,25,50,321563,0,0,1,0
";

fn expected() -> Vec<VmSample> {
    let sample = |vm, at, cpu, memory, disk, net| VmSample {
        vm: VmId(vm),
        at,
        usage: Usage { cpu, memory, disk_io: Some(disk), net_io: Some(net) },
    };
    vec![
        sample(9, 1_375_308_176, 22.6, 363_505.0, 9216.0, 3072.0),
        sample(25, 1_375_308_476, 1600.0, 321_563.0, 0.0, 1024.0),
    ]
}

#[test]
fn percent_of_a_vm_becomes_percent_of_a_core() {
    let (samples, summary) = read(METRICS_TABLE.as_bytes(), None).unwrap();
    assert_eq!(samples, expected());
    assert_eq!((summary.form, summary.table.rows, summary.table.broken), (Form::Metrics, 2, 0));
    assert_eq!(summary.span, Some((1_375_308_176, 1_375_308_476)));
    assert_eq!(summary.table.bytes, METRICS_TABLE.len() as u64);
}

#[test]
fn zipped_tables_are_told_by_their_bytes_even_when_these_come_singly() {
    let whole = zipped(METRICS_TABLE);
    let (samples, summary) = read(BufReader::with_capacity(1, &whole[..]), None).unwrap();
    assert_eq!(samples, expected());
    assert_eq!(summary.table.bytes, whole.len() as u64);
    let (one, other) = METRICS_TABLE.split_at(100);
    let parts = [zipped(one), zipped(other)].concat();
    assert_eq!(read(&parts[..], None).unwrap().0, expected());
}

#[test]
fn a_cut_zip_tells_where_it_ends() {
    let rows: String = (0..5000).map(|i| format!("{},9,{},1,0,0,0,0\n", 1_375_308_176 + i, i % 97)).collect();
    let whole = zipped(&format!("{METRICS_TABLE}{rows}"));
    let text = read(&whole[..whole.len() / 2], None).unwrap_err().to_string();
    assert!(text.starts_with("cannot be read after line "), "{text}");
}

#[test]
fn columns_may_come_in_any_order_and_among_others() {
    let table = "\u{feff}\"mem_kb\"\tnote\tTS \tvmid\tcpu_percent\r\n5\thi; there\t1375308176\t9\t\"10\"\r\n";
    let table = table.replace("hi; there", "hi there");
    let (samples, _) = read(table.as_bytes(), None).unwrap();
    let usage = Usage { cpu: 10.0, memory: 5.0, disk_io: None, net_io: None };
    assert_eq!(samples, [VmSample { vm: VmId(9), at: 1_375_308_176, usage }]);
}

#[test]
fn bitbrains_files_hold_one_vm_in_seconds_or_milliseconds() {
    for stamp in ["1376314846", "1376314846000"] {
        let row = format!(
            "{stamp};\t4;\t11703.99;\t10912.0;\t93.23333333333333;\t6.7108864E7;\t6129274.4;\t0.5;\t20.5;\t1.0;\t2.0\n"
        );
        let table = format!("{BITBRAINS_HEADER}{row}");
        let (samples, summary) = read(table.as_bytes(), vm_of_file("rnd/2013-8/12.csv")).unwrap();
        let usage = Usage {
            cpu: 93.233_333_333_333_33 * 4.0,
            memory: 6_129_274.4,
            disk_io: Some(21504.0),
            net_io: Some(3072.0),
        };
        assert_eq!(samples, [VmSample { vm: VmId(12), at: 1_376_314_846, usage }]);
        assert_eq!(summary.form, Form::Bitbrains);
    }
    assert!(matches!(read(BITBRAINS_HEADER.as_bytes(), None), Err(ImportError::NoVm)));
}

#[test]
fn file_names_tell_the_vm() {
    for (name, expected) in [
        ("12.csv", Some(12)),
        ("a/b/7.csv.gz", Some(7)),
        ("c:\\d\\8", Some(8)),
        ("vm12.csv", None),
        ("+1.csv", None),
        (".csv", None),
        ("99999999999.csv", None),
        ("", None),
    ] {
        assert_eq!(vm_of_file(name), expected.map(VmId), "{name}");
    }
}

#[test]
fn bursts_are_held_at_the_capacity() {
    let table = METRICS_TABLE.replace(",50,", ",114.03,");
    let (samples, summary) = read(table.as_bytes(), None).unwrap();
    assert_eq!((samples[1].usage.cpu, summary.held), (3200.0, 1));
}

#[test]
fn broken_rows_are_counted_and_the_first_few_told() {
    let mut table = METRICS_TABLE.to_owned();
    let rows = [
        "x,9,1,1,0,0,0,0",
        "1375308176,9,,1,0,0,0,0",
        "1375308176,9,nan,1,0,0,0,0",
        "1375308176,9,1,-1,0,0,0,0",
        "1375308176,10,1,1,0,0,0,0",
        "1375308176,-1,1,1,0,0,0,0",
        "1375308176,9,1,1,0,0,0,0,0",
        "1375308176,9,1,1,zero,0,0,0",
        "1375308176",
    ];
    table.extend(rows.iter().map(|row| format!("{row}\n")));
    table += "\n1375308776,9,1,1,,0,0,0";
    let (samples, summary) = read(table.as_bytes(), None).unwrap();
    assert_eq!((samples.len(), summary.table.rows, summary.table.broken), (3, 3, 9));
    assert_eq!(samples[2].usage, Usage { cpu: 1.0, memory: 1.0, disk_io: None, net_io: Some(0.0) });
    let told: Vec<(u64, &str)> =
        summary.table.first_broken.iter().map(|row| (row.line, row.reason.split(": ").next().unwrap())).collect();
    let reasons = [
        (4, "ts is no moment"),
        (5, "cpu_percent is missing"),
        (6, "cpu_percent is no number"),
        (7, "mem_kb is negative"),
        (8, "VM 10 is not in the table of capacities"),
    ];
    assert_eq!(told, reasons);
}

#[test]
fn a_line_without_end_is_one_broken_row() {
    let long = "7".repeat(1_000_000);
    let table = format!("{METRICS_TABLE}{long}\n1375308776,9,1,1,0,0,0,0\n");
    let (samples, summary) = read(table.as_bytes(), None).unwrap();
    assert_eq!((samples.len(), summary.table.broken, summary.table.first_broken[0].line), (3, 1, 4));
    assert!(matches!(read(long.as_bytes(), None), Err(ImportError::Form { .. })));
}

#[test]
fn what_is_no_table_of_samples_is_refused_in_one_line() {
    assert_eq!(error("\n \n"), "it is empty; a line with the names of the columns was expected");
    assert_eq!(error("1,2,3\n"), "the form of the table is unknown: it begins with 1, 2, 3");
    assert_eq!(error("ts,vmid,mem_kb,cpu\n"), "column cpu_percent is missing; the header has ts, vmid, mem_kb, cpu");
    let nobody = Origin { vm: None, capacities: &Capacities::default() };
    let refused = read_samples(METRICS_TABLE.as_bytes(), &nobody, &mut |_| {}, &mut |_| {});
    assert!(matches!(refused, Err(ImportError::NoCapacities)));
}

#[test]
fn progress_ends_with_all_bytes() {
    let capacities = capacities();
    let origin = Origin { vm: None, capacities: &capacities };
    let mut seen = Vec::new();
    read_samples(METRICS_TABLE.as_bytes(), &origin, &mut |progress| seen.push(progress), &mut |_| {}).unwrap();
    assert_eq!(seen, [Progress { bytes: METRICS_TABLE.len() as u64, lines: 3 }]);
}

#[test]
fn progress_is_told_now_and_then() {
    let capacities = capacities();
    let origin = Origin { vm: None, capacities: &capacities };
    let rows: String = (0..8192).map(|i| format!("{},9,1,1,0,0,0,0\n", 1_375_308_176 + i)).collect();
    let mut lines = Vec::new();
    let table = format!("{METRICS_TABLE}{rows}");
    read_samples(table.as_bytes(), &origin, &mut |progress| lines.push(progress.lines), &mut |_| {}).unwrap();
    assert_eq!(lines, [8192, 8195]);
}

#[test]
fn the_span_is_that_of_rows_in_any_order_and_full_use_is_not_held() {
    let head = METRICS_TABLE.lines().next().unwrap();
    let row = |at: i64, cpu: &str| format!("{at},9,{cpu},1,0,0,0,0\n");
    let table =
        format!("{head}\n{}{}{}", row(1_375_308_300, "100"), row(1_375_308_900, "100.1"), row(1_375_308_000, "1"));
    let (_, summary) = read(table.as_bytes(), None).unwrap();
    assert_eq!((summary.span, summary.held), (Some((1_375_308_000, 1_375_308_900)), 1));
}

#[test]
fn a_missing_column_is_told_before_a_missing_vm_and_empty_cells_at_the_end_are_none() {
    let bitbrains = BITBRAINS_HEADER.replace("CPU usage [%];\t", "");
    let told = read(bitbrains.as_bytes(), None).unwrap_err().to_string();
    assert!(told.starts_with("column cpu usage [%] is missing"), "{told}");
    let table = METRICS_TABLE.replace(",2.5\n", ",2.5, ,\n");
    let (samples, summary) = read(table.as_bytes(), None).unwrap();
    assert_eq!((samples, summary.table.broken), (expected(), 0));
}

#[test]
fn damaged_tables_do_no_harm() {
    let bitbrains = format!("{BITBRAINS_HEADER}1376314846;\t4;\t1;\t1;\t93.2;\t1;\t1;\t0.5;\t20.5;\t1;\t2\n");
    let whole = [METRICS_TABLE.as_bytes().to_vec(), bitbrains.into_bytes(), zipped(METRICS_TABLE)];
    let mut state = 1_u64;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..10_000 {
        let mut damaged = whole[round % 3].clone();
        for _ in 0..=roll(4) {
            let place = roll(damaged.len());
            damaged[place] = roll(256) as u8;
        }
        damaged.truncate(roll(4 * damaged.len()).max(1));
        if let Ok((samples, summary)) = read(&damaged[..], Some(VmId(9))) {
            assert_eq!(samples.len() as u64, summary.table.rows);
            assert!(samples.iter().all(|sample| sample.at > -70_000_000_000 && sample.usage.cpu >= 0.0));
        }
    }
}
