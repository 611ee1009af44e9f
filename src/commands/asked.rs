//! The request of the living cloud. oned knows best what it would ask, so it is made to ask: a
//! marker is left beside the store, oned is told to optimize the cluster, and `oneaio optimize`,
//! which oned then runs, hands its request over instead of planning. Its answer is an empty
//! plan, which oned drops: nothing is carried out, and a plan that waits there stays.

use super::{Exit, driver, logger};
use crate::machine::files::{Sync, own_as_folder, write_whole};
use crate::machine::installation::Installation;
use crate::model::ids::ClusterId;
use crate::model::plan::Plan;
use crate::model::snapshot::Host;
use crate::oned::{Limits, Oned};
use crate::opennebula::plan_xml;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long oned may take to ask: it does between two beats of its timer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Whether standard input is neither a file nor a pipe, so that no request comes from there.
pub fn nothing_on_stdin() -> bool {
    fs::metadata("/dev/stdin").is_ok_and(|input| input.file_type().is_char_device())
}

/// oned, as a person who waits for it asks it.
pub fn oned() -> Result<Oned> {
    let seconds = Duration::from_secs;
    Ok(Oned::of_environment(Limits { connect: seconds(3), read: seconds(10), total: seconds(30) })?)
}

/// A host of the living cloud, by its ID or name.
pub fn host(oned: &Oned, asked: &str) -> Result<Host> {
    let mut found = Vec::new();
    let id = asked.parse::<i32>().ok();
    oned.hosts(&mut |host| {
        if id.map_or(host.name == asked, |id| host.id.0 == id) {
            found.push(host);
        }
    })?;
    match found.len() {
        1 => found.pop().context("a host that is there"),
        0 => bail!("oned knows no host {asked}, or does not show it to us"),
        many => bail!("{many} hosts are called {asked}: name one by its ID"),
    }
}

/// A cluster of the living cloud, by its ID or name.
pub fn cluster(oned: &Oned, asked: &str) -> Result<ClusterId> {
    if let Ok(id) = asked.parse::<i32>() {
        return Ok(ClusterId(id));
    }
    let mut found = None;
    oned.cluster_names(&mut |id, name| {
        if name == asked {
            found = Some(id);
        }
    })?;
    found.ok_or_else(|| anyhow!("oned knows no cluster {asked}"))
}

/// What oned asks when it optimizes this cluster.
pub fn of_cluster(oned: &Oned, cluster: ClusterId) -> Result<Vec<u8>> {
    let [marker, request] = files(cluster);
    let folder = marker.parent().context("a marker lies in a folder")?;
    // who else can write there can answer in oned's place
    if let Err(error) = DirBuilder::new().mode(0o750).create(folder)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("{} cannot be made: run this as oneadmin", folder.display()));
    }
    own_as_folder(folder);
    // of one who gave up
    let _ = fs::remove_file(&request);
    write_whole(&marker, b"", 0o600, Sync::No)
        .with_context(|| format!("{} cannot be written: run this as oneadmin", marker.display()))?;
    let asked = oned.optimize(cluster).map_err(anyhow::Error::from).and_then(|()| wait_for(&request));
    let _ = fs::remove_file(&marker);
    let _ = fs::remove_file(&request);
    asked.with_context(|| format!("oned did not ask about cluster {cluster}"))
}

fn wait_for(request: &Path) -> Result<Vec<u8>> {
    let (tell, until) = (logger::progress(), Instant::now() + PATIENCE);
    loop {
        tell("waiting for oned to ask");
        match fs::read(request) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be read", request.display()));
            }
            Err(_) if Instant::now() >= until => bail!(
                "{} s have passed. oned asks only when a VM runs in the cluster, a host and a system datastore are there, \
                 no plan of it is being carried out, and SCHED_MAD names -o oneaio on this front-end",
                PATIENCE.as_secs()
            ),
            Err(_) => sleep(LOOK),
        }
    }
}

/// In `oneaio optimize`: hands the request over when somebody waits for it. `None`: nobody does.
pub fn hand_over(cluster: ClusterId) -> Option<Exit> {
    let [marker, request] = files(cluster);
    let is_fresh = fs::symlink_metadata(&marker).is_ok_and(|file| {
        file.is_file() && file.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age < PATIENCE))
    });
    // taking the marker away is what gives this request to us: a second one is planned
    if !is_fresh || fs::remove_file(&marker).is_err() {
        return None;
    }
    let bytes = match driver::request("optimize CLUSTER_ID") {
        Ok(bytes) => bytes,
        Err(exit) => return Some(exit),
    };
    if let Err(error) = write_whole(&request, &bytes, 0o600, Sync::No) {
        log::error!("{} cannot be written: {error}", request.display());
    } else {
        log::info!("the request was asked for by a command of oneaio and is handed to it; nothing is planned");
    }
    Some(driver::print(&plan_xml::write(&Plan::default(), cluster.0)))
}

/// Marker and request of a cluster.
fn files(cluster: ClusterId) -> [PathBuf; 2] {
    let folder = Installation::here().home().join("asked");
    [folder.join(format!("{cluster}.wanted")), folder.join(format!("{cluster}.request"))]
}
