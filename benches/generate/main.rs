//! Prints a PLACE request of any size, made up but shaped like a real one.
//!
//! Usage: `generate --hosts N --vms N [--seed N] [--groups] [--pinned] [--base64]`

mod generator;

use std::io::{self, Write};
use std::process::ExitCode;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use generator::{Shape, write_request};

const USAGE: &str = "usage: generate --hosts N --vms N [--seed N] [--groups] [--pinned] [--base64]";

fn main() -> ExitCode {
    let (shape, base64) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(problem) => {
            eprintln!("generate: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match print(&shape, base64) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if problem.kind() == io::ErrorKind::InvalidInput => {
            eprintln!("generate: {problem}");
            ExitCode::from(2)
        }
        Err(problem) => {
            eprintln!("generate: cannot write the request: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The shape asked for, and whether it is to be printed as base64.
fn parse(mut args: impl Iterator<Item = String>) -> Result<(Shape, bool), String> {
    let (mut hosts, mut vms, mut base64) = (None, None, false);
    let mut shape = Shape::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--hosts" => hosts = Some(number(&arg, args.next())?),
            "--vms" => vms = Some(number(&arg, args.next())?),
            "--seed" => shape.seed = number(&arg, args.next())?,
            "--groups" => shape.groups = true,
            "--pinned" => shape.pinned = true,
            "--base64" => base64 = true,
            _ => return Err(format!("unknown argument {arg:?}")),
        }
    }
    shape.hosts = hosts.ok_or("--hosts is missing")?;
    shape.vms = vms.ok_or("--vms is missing")?;
    Ok((shape, base64))
}

/// The value of a numeric option.
fn number<T: std::str::FromStr>(option: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{option} needs a number"))?;
    let parsed = value.parse();
    parsed.map_err(|_| format!("{option} needs a whole number, not {value:?}"))
}

/// Streams the request to stdout; base64 as one line without an end, as oned sends it.
fn print(shape: &Shape, base64: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if base64 {
        let mut encoder = EncoderWriter::new(&mut stdout, &STANDARD);
        write_request(&mut encoder, shape)?;
        encoder.finish()?;
    } else {
        write_request(&mut stdout, shape)?;
    }
    stdout.flush()
}
