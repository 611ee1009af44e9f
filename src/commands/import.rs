//! `oneaio import`: what others have kept of VMs, into the store of history: usage tables, the
//! databases of OpenNebula's own probes, a Prometheus; and series of carbon intensity.

mod backfill;
mod measured;

use super::{ConfigArgs, Exit, driver, logger};
use crate::config::Settings;
use crate::demand::model::Model;
use crate::history::import::{Capacities, Origin, read_carbon, read_samples, vm_of_file};
use crate::history::sqlite::forecast;
use crate::history::timescale::ai_orchestrator;
use crate::history::{Batch, Collecting, HistoryStore, StoreError};
use crate::learn;
use crate::machine::files::open;
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};
use crate::prometheus::Client;
use crate::recall::history;
use crate::recall::modelfile;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Samples that go into the store in one transaction.
const CHUNK: usize = 100_000;

/// What to import.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// CSV tables, plain or gz: metrics with a vmid column, or one Bitbrains file per VM. Or the
    /// databases of OpenNebula's probes, /var/tmp/one_db/*.db of the hosts.
    #[arg(required_unless_present_any = ["carbon", "prometheus", "from"], value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A Prometheus that scrapes OpenNebula's exporters, such as http://fe1:9090: the past of all
    /// VMs up to the first sample of the store. An import that was cut off goes on where it was.
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// How far to look back in that Prometheus: days (15d), hours (36h) or seconds.
    #[arg(long, value_name = "TIME", default_value = "15d", value_parser = span)]
    pub since: i64,
    /// A PostgreSQL database that the ai-orchestrator has filled (PROD_ tables): all of it, in
    /// steps of five minutes. It is only read.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// A series of carbon intensity of the zone that hosts or clusters name in CARBON_ZONE: a
    /// table (ts, gCO2_per_kWh), or what ElectricityMaps, WattTime or the Carbon Aware SDK give.
    /// May be repeated.
    #[arg(long, num_args = 2, value_names = ["ZONE", "FILE"])]
    pub carbon: Vec<String>,
    /// A table of VM sizes (vmid, cores, ...), for metrics in percent of a VM's capacity.
    #[arg(long, value_name = "FILE")]
    pub vms: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Imports all files, one after the other.
#[must_use]
pub fn run(args: &ImportArgs) -> Exit {
    let (settings, chosen) = match driver::with_store(&args.config) {
        Ok(configured) => configured,
        Err(exit) => return exit,
    };
    let outcome = history::open(&chosen, Duration::from_secs(60))
        .map_err(|error| anyhow!("the store {chosen:?} cannot be used: {error}"))
        .and_then(|mut store| all(args, &settings, store.as_mut()));
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => driver::failed(Exit::Unusable, &error),
    }
}

/// `15d`, `36h` or seconds.
fn span(text: &str) -> Result<i64, String> {
    let (number, unit) = match text.as_bytes() {
        [.., b'd'] => (&text[..text.len() - 1], 86_400),
        [.., b'h'] => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let seconds = number.parse::<u32>().ok().and_then(|number| i64::from(number).checked_mul(unit));
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| "days (15d), hours (36h) or seconds are expected".to_owned())
}

fn all(args: &ImportArgs, settings: &Settings, store: &mut dyn HistoryStore) -> Result<()> {
    let capacities = match &args.vms {
        Some(path) => {
            let read = Capacities::read(open(path)?).with_context(|| path.display().to_string());
            read.map(|(capacities, _)| capacities)?
        }
        None => Capacities::default(),
    };
    for pair in args.carbon.chunks_exact(2) {
        carbon(&pair[0], Path::new(&pair[1]), store).with_context(|| pair[1].clone())?;
    }
    let told = |error: StoreError| anyhow!("the store cannot be written: {error}");
    let sizes = capacities.identities();
    // what oned has told of a VM is more than its size
    let known: HashSet<VmId> = store.identities(None).map_err(told)?.into_iter().map(|(vm, _)| vm).collect();
    let sizes: Vec<(VmId, VmIdentity)> = sizes.into_iter().filter(|(vm, _)| !known.contains(vm)).collect();
    learn::absorb(store, &Batch { identities: &sizes, ..Batch::default() }).map_err(told)?;
    let model = modelfile::or_without(settings);
    for path in &args.files {
        one(path, &capacities, store, model.as_ref()).with_context(|| path.display().to_string())?;
    }
    if let Some(address) = &args.from {
        let mut sink = Sink { store, model: model.as_ref(), chunk: Vec::new(), fresh: 0, failure: None };
        let read = ai_orchestrator::each_sample(address, Duration::from_secs(60), &mut |sample| sink.take(sample));
        sink.flush();
        if let Some(error) = sink.failure {
            return Err(told(error));
        }
        let fresh = sink.fresh;
        read.map_err(|error| anyhow!("that database cannot be read: {error}; new samples before that: {fresh}"))?;
        log::info!("the ai-orchestrator's database is read: new samples {fresh}");
    }
    if let Some(url) = &args.prometheus {
        let client = Client::new(url);
        backfill::all(&client, args.since, store, model.as_ref())?;
        measured::all(&client, args.since, store)?;
    }
    learn::relate(store).map_err(told)?;
    Ok(())
}

/// A zone's carbon intensity, all at once: a year by the hour is 8,760 rows.
fn carbon(zone: &str, path: &Path, store: &mut dyn Collecting) -> Result<()> {
    let mut series = Vec::new();
    let summary = read_carbon(open(path)?, &mut |at, grams| series.push((at, grams)))?;
    for row in &summary.first_broken {
        log::warn!("{} line {}: {}; the row is left out", path.display(), row.line, row.reason);
    }
    let zone = zone.trim();
    let known = store.keep_carbon(zone, &series).map_err(|error| anyhow!("the store cannot be written: {error}"))?;
    log::info!("carbon intensity of zone {zone}: rows read {}, moments known {known}", series.len());
    Ok(())
}

/// Streams one file into the store, chunk by chunk.
fn one(path: &Path, capacities: &Capacities, store: &mut dyn Collecting, model: Option<&Model>) -> Result<()> {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let origin = Origin { vm: vm_of_file(&name), capacities };
    if is_database(path)? {
        return probed(path, &name, store, model);
    }
    let mut sink = Sink { store, model, chunk: Vec::with_capacity(CHUNK), fresh: 0, failure: None };
    let tell = logger::progress();
    let mut progress = |at: crate::history::import::Progress| {
        let percent = at.bytes.saturating_mul(100).checked_div(size).unwrap_or(100).min(100);
        tell(&format!("{name}: {percent} %, {} rows", at.lines));
    };
    let summary = read_samples(open(path)?, &origin, &mut progress, &mut |sample| sink.take(sample))?;
    sink.flush();
    tell("");
    if let Some(error) = sink.failure {
        return Err(anyhow!("the store cannot be written: {error}"));
    }
    for row in &summary.table.first_broken {
        log::warn!("{name} line {}: {}; the row is left out", row.line, row.reason);
    }
    log::info!(
        "{name}: rows read {}, new samples {}, rows left out {}",
        summary.table.rows,
        sink.fresh,
        summary.table.broken
    );
    Ok(())
}

/// Whether a file is one of SQLite, whatever its name.
fn is_database(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    open(path)?.take(forecast::BEGINNING.len() as u64).read_to_end(&mut start)?;
    Ok(start == forecast::BEGINNING)
}

/// The past of a VM from a probe's database.
fn probed(path: &Path, name: &str, store: &mut dyn Collecting, model: Option<&Model>) -> Result<()> {
    let mut sink = Sink { store, model, chunk: Vec::new(), fresh: 0, failure: None };
    let read = forecast::read(path, &mut |sample| sink.take(sample));
    // what came before a damaged page is kept
    sink.flush();
    if let Some(error) = sink.failure {
        return Err(anyhow!("the store cannot be written: {error}"));
    }
    match read {
        Ok(0) => log::info!("{name}: it holds no VM (samples of hosts are left out)"),
        Ok(vms) => log::info!("{name}: VMs {vms}, new samples {}", sink.fresh),
        Err(StoreError::Busy) => bail!("its probe has been writing for too long: try again"),
        Err(error) => bail!("it cannot be read to the end ({error}); new samples before that: {}", sink.fresh),
    }
    Ok(())
}

/// Collects samples and hands them on in chunks; after a failure it takes no more.
struct Sink<'s> {
    store: &'s mut dyn Collecting,
    model: Option<&'s Model>,
    chunk: Vec<VmSample>,
    fresh: usize,
    failure: Option<StoreError>,
}

impl Sink<'_> {
    fn take(&mut self, sample: VmSample) {
        if self.failure.is_none() {
            self.chunk.push(sample);
            if self.chunk.len() == CHUNK {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let batch = Batch { samples: &self.chunk, ..Batch::default() };
        match learn::absorb_with(self.store, &batch, self.model) {
            Ok(absorbed) => self.fresh += absorbed.new_samples,
            Err(error) => self.failure = Some(error),
        }
        self.chunk.clear();
    }
}
