//! Measures the whole `place` process against the time a plain XML parser needs.
//!
//! `cargo bench --bench place -- 100x300 1250x5000` makes up a request of each size (hosts x
//! VMs) and runs `xmllint --noout` on it and `oneaio place` with it, in turns. The table shows
//! medians of the CPU time (user + system) and of the peak memory of the processes; and of
//! planning alone, in this process, VM after VM (greedy) and together (joint). `500x1000+groups` has VM
//! groups, `500x1000+wishes` these with wishes: racks that groups are spread over, hosts that VMs like.
#![allow(clippy::print_stdout, missing_docs)]

#[path = "generate/generator/mod.rs"]
mod generator;

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::time::Instant;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use generator::{Shape, write_request};
use oneaio::decide;
use oneaio::model::history::Recall;
use oneaio::model::policy::Policy;

const DEFAULT_SIZES: [Size; 2] = [
    Size { hosts: 100, vms: 300, groups: false, wishes: false },
    Size { hosts: 500, vms: 1000, groups: false, wishes: false },
];

/// Bytes in the MB of the table.
const MB: f64 = 1e6;

fn main() -> ExitCode {
    let sizes = match sizes(std::env::args().skip(1)) {
        Ok(sizes) => sizes,
        Err(problem) => {
            eprintln!("place: {problem}\nusage: cargo bench --bench place [-- HOSTSxVMS[+groups|+wishes] ...]");
            return ExitCode::from(2);
        }
    };
    match print_table(&sizes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("place: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Hosts and VMs of a request.
#[derive(Clone, Copy)]
struct Size {
    hosts: u32,
    vms: u32,
    groups: bool,
    wishes: bool,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (size, kind) = text.split_once('+').unwrap_or((text, ""));
        let (groups, wishes) = (!kind.is_empty(), kind == "wishes");
        let parsed = size
            .split_once('x')
            .filter(|_| ["", "groups", "wishes"].contains(&kind))
            .and_then(|(hosts, vms)| Some(Self { hosts: hosts.parse().ok()?, vms: vms.parse().ok()?, groups, wishes }));
        parsed.ok_or_else(|| format!("a size is hosts x VMs, like 500x1000, not {text:?}"))
    }
}

/// The sizes asked for, or the usual ones; cargo adds `--bench`.
fn sizes(args: impl Iterator<Item = String>) -> Result<Vec<Size>, String> {
    let asked = args.filter(|arg| arg != "--bench").map(|arg| arg.parse());
    let asked = asked.collect::<Result<Vec<Size>, String>>()?;
    Ok(if asked.is_empty() { DEFAULT_SIZES.to_vec() } else { asked })
}

fn print_table(sizes: &[Size]) -> Result<(), String> {
    let folder = TempFolder::new()?;
    let xmllint = Command::new("xmllint").arg("--version").stderr(Stdio::null()).status().is_ok();
    if !xmllint {
        eprintln!("place: xmllint is missing, so there is nothing to compare with;");
        eprintln!("place: install it with: apt-get install libxml2-utils");
    }
    println!(
        "| hosts x VMs | XML MB | xmllint CPU s | oneaio CPU s | ratio | oneaio peak MB \
         | peak / document | placed of VMs | planner: greedy s | joint s | joint / greedy |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for size in sizes {
        println!("{}", measure(*size, &folder.0, xmllint)?);
    }
    Ok(())
}

/// Makes up a request, runs both programs on it, and returns its line of the table.
fn measure(size: Size, folder: &Path, xmllint: bool) -> Result<String, String> {
    let (xml, base64, plan) = (folder.join("request.xml"), folder.join("request.b64"), folder.join("plan.xml"));
    let bytes = write_documents(size, &xml, &base64).map_err(|problem| format!("cannot write a request: {problem}"))?;
    let (mut lint, mut oneaio) = (Vec::new(), Vec::new());
    for _ in 0..runs(bytes) {
        if xmllint {
            lint.push(run(Command::new("xmllint").arg("--noout").arg(&xml), folder)?);
        }
        oneaio.push(run(&mut place_command(&base64, &plan)?, folder)?);
    }
    let placed = count_actions(&plan)?;
    let (greedy, joint) = planner(&xml, runs(bytes))?;
    let planner = format!(" {greedy:.4} | {joint:.4} | {:.1} |", joint / greedy);
    Ok(table_line(size, bytes, &lint, &oneaio, placed) + &planner)
}

/// Seconds that planning alone takes, in this process: VMs one after another, and together.
fn planner(xml: &Path, runs: usize) -> Result<(f64, f64), String> {
    let bytes = fs::read(xml).map_err(|problem| named(xml, &problem))?;
    let snapshot = decide::read(bytes).map_err(|problem| problem.to_string())?;
    let time = |deadline: f64| {
        let policy = Policy { deadline, ..Policy::default() };
        median((0..runs).map(|_| {
            let snapshot = snapshot.clone();
            let begun = Instant::now();
            std::hint::black_box(decide::place_snapshot(snapshot, &Recall::default(), &policy));
            begun.elapsed().as_secs_f64()
        }))
    };
    Ok((time(0.0), time(Policy::default().deadline)))
}

/// Large documents take long, and differ less from run to run.
fn runs(bytes: u64) -> usize {
    match bytes / 1_000_000 {
        0..=100 => 5,
        101..=400 => 3,
        _ => 1,
    }
}

/// Writes the request in both forms. Returns the size of the XML in bytes.
fn write_documents(size: Size, xml: &Path, base64: &Path) -> io::Result<u64> {
    let shape = Shape { hosts: size.hosts, vms: size.vms, groups: size.groups, ..Shape::default() };
    write_request(&mut File::create(xml)?, &shape)?;
    if size.wishes {
        fs::write(xml, wishing(&fs::read_to_string(xml)?))?;
    }
    let mut encoder = EncoderWriter::new(BufWriter::new(File::create(base64)?), &STANDARD);
    let bytes = io::copy(&mut BufReader::with_capacity(1 << 16, File::open(xml)?), &mut encoder)?;
    encoder.finish()?.flush()?;
    Ok(bytes)
}

/// The request with racks of hosts, groups that are spread over them as far as possible, and VMs that like
/// some hosts and avoid others.
fn wishing(xml: &str) -> String {
    let inside = |xml: &str, object: &str, element: &str, more: &dyn Fn(usize) -> String| {
        let begin = format!("<{object}><ID>");
        let mut pieces = xml.split(begin.as_str());
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for (number, piece) in pieces.enumerate() {
            let (open, empty) = (format!("<{element}>"), format!("<{element}/>"));
            let piece = piece.replacen(&empty, &format!("{open}</{element}>"), 1);
            out += &begin;
            out += &piece.replacen(&open, &(open.clone() + &more(number)), 1);
        }
        out
    };
    let xml = inside(xml, "HOST", "TEMPLATE", &|host| format!("<RACK>r{}</RACK>", host % 8));
    let spread = "<ONEAIO_SPREAD>RACK</ONEAIO_SPREAD><ONEAIO_SPREAD_SOFT>YES</ONEAIO_SPREAD_SOFT>";
    let xml = inside(&xml, "VM_GROUP", "TEMPLATE", &|_| spread.to_owned());
    inside(&xml, "VM", "USER_TEMPLATE", &|vm| {
        format!("<ONEAIO_PREFER>RACK=r{}:2</ONEAIO_PREFER><ONEAIO_AVOID>RACK=r{}</ONEAIO_AVOID>", vm % 8, (vm + 3) % 8)
    })
}

fn place_command(request: &Path, plan: &Path) -> Result<Command, String> {
    let stdin = File::open(request).map_err(|problem| named(request, &problem))?;
    let stdout = File::create(plan).map_err(|problem| named(plan, &problem))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
    command.arg("place").stdin(stdin).stdout(stdout);
    Ok(command)
}

/// What a process has used.
#[derive(Clone, Copy)]
struct Usage {
    /// User and system time in seconds.
    cpu: f64,
    /// Largest resident size in bytes. It cannot come out below that of this process, a few
    /// MB, because a new process begins as its copy.
    peak: f64,
}

/// Runs the command to its end; a failure tells the last line of its messages.
fn run(command: &mut Command, folder: &Path) -> Result<Usage, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let messages = folder.join("stderr");
    let stderr = File::create(&messages).map_err(|problem| named(&messages, &problem))?;
    let child = command.stderr(stderr).spawn();
    let child = child.map_err(|problem| format!("cannot run {program}: {problem}"))?;
    let (status, usage) = wait(child.id()).map_err(|problem| format!("{program}: {problem}"))?;
    if status != 0 {
        let messages = fs::read_to_string(&messages).unwrap_or_default();
        let last = messages.lines().last().unwrap_or("(no message)");
        return Err(format!("{program} failed with wait status {status}: {last}"));
    }
    Ok(usage)
}

/// Waits for a child of this process. Returns its wait status, which is 0 when all went well,
/// and what it has used.
#[allow(unsafe_code)]
fn wait(child: u32) -> io::Result<(i32, Usage)> {
    let pid = libc::pid_t::try_from(child).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live variables of the type wait4 writes.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            break;
        }
        let problem = io::Error::last_os_error();
        if problem.kind() != io::ErrorKind::Interrupted {
            return Err(problem);
        }
    }
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Ok((status, Usage { cpu, peak: as_float(usage.ru_maxrss) * 1024.0 }))
}

fn seconds(time: libc::timeval) -> f64 {
    as_float(time.tv_sec) + as_float(time.tv_usec) / 1e6
}

#[allow(clippy::cast_precision_loss)] // measured values are far below 2^52
fn as_float(number: i64) -> f64 {
    number as f64
}

/// Each VM placed is one action of the plan.
fn count_actions(plan: &Path) -> Result<usize, String> {
    let text = fs::read_to_string(plan).map_err(|problem| named(plan, &problem))?;
    Ok(text.matches("<ACTION>").count())
}

#[allow(clippy::cast_precision_loss)] // document sizes are far below 2^52
fn table_line(size: Size, bytes: u64, lint: &[Usage], oneaio: &[Usage], placed: usize) -> String {
    let Size { hosts, vms, groups, wishes } = size;
    let kind = match (groups, wishes) {
        (_, true) => " + wishes",
        (true, false) => " + groups",
        (false, false) => "",
    };
    let document = bytes as f64;
    let oneaio_cpu = median(oneaio.iter().map(|usage| usage.cpu));
    let peak = median(oneaio.iter().map(|usage| usage.peak));
    let (lint_cpu, ratio) = if lint.is_empty() {
        ("-".to_owned(), "-".to_owned())
    } else {
        let cpu = median(lint.iter().map(|usage| usage.cpu));
        (format!("{cpu:.3}"), format!("{:.2}", oneaio_cpu / cpu))
    };
    format!(
        "| {hosts} x {vms}{kind} | {:.1} | {lint_cpu} | {oneaio_cpu:.3} | {ratio} | {:.1} | {:.2} \
         | {placed} of {vms} |",
        document / MB,
        peak / MB,
        peak / document
    )
}

/// The middle one; the numbers of runs are odd.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn named(path: &Path, problem: &io::Error) -> String {
    format!("{}: {problem}", path.display())
}

/// A folder of this process, removed at the end.
struct TempFolder(PathBuf);

impl TempFolder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("oneaio-place-{}", std::process::id()));
        fs::create_dir(&path).map_err(|problem| named(&path, &problem))?;
        Ok(Self(path))
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and the system clears the place some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}
