//! What the ancestor asks its database for one VM after another: the window of 112 samples, and
//! the VM's capacity. Measured against a real PostgreSQL on a unix socket, with and without
//! an index that the ancestor's tables lack; its classification (Python) is not among it.

use crate::postgres;
use std::time::Instant;

/// VMs with a day of samples, one every 40 s.
const VMS: i32 = 1000;
const SAMPLES: i32 = 2160;
const WINDOW: &str = "SELECT ts, cpu, memory, disk_write, net_tx FROM prod_metrics \
                      WHERE type = 1 AND id = $1 ORDER BY ts DESC LIMIT 112";
const CAPACITY: &str = "SELECT total_cpu, total_mem FROM prod_vms WHERE vmid = $1";

/// Milliseconds for `vms` VMs, median of some rounds.
#[derive(Clone, Copy, Debug)]
pub struct Queries {
    /// As the ancestor makes its tables.
    pub as_made: f64,
    /// With an index on the VM's id and time.
    pub indexed: f64,
}

/// `None` where PostgreSQL is not installed.
pub fn measure(vms: i32) -> Option<Queries> {
    let server = postgres::Server::start()?;
    let mut client = server.client();
    client.batch_execute(postgres::AI_ORCHESTRATOR_TABLES).unwrap();
    let fill = format!(
        "INSERT INTO prod_vms (vmid, total_cpu, total_mem) SELECT i::text, 4, 8192 FROM generate_series(0, {VMS}) i;
         INSERT INTO prod_metrics SELECT v::text, 1, to_timestamp(40 * i), 0.5, 512, 10, 10, 0, 0, 0
             FROM generate_series(1, {SAMPLES}) i, generate_series(0, {VMS} - 1) v;
         ANALYZE;"
    );
    client.batch_execute(&fill).unwrap();
    let as_made = rounds(&mut client, vms, 3);
    client.batch_execute("CREATE INDEX ON prod_metrics (id, ts); ANALYZE;").unwrap();
    Some(Queries { as_made, indexed: rounds(&mut client, vms, 101) })
}

fn rounds(client: &mut ::postgres::Client, vms: i32, rounds: usize) -> f64 {
    let (window, capacity) = (client.prepare(WINDOW).unwrap(), client.prepare(CAPACITY).unwrap());
    let mut took: Vec<f64> = (0..rounds)
        .map(|round| {
            let begun = Instant::now();
            for vm in 0..vms {
                let id = ((round as i32 * vms + vm) % VMS).to_string();
                assert_eq!(client.query(&window, &[&id]).unwrap().len(), 112);
                client.query_one(&capacity, &[&id]).unwrap();
            }
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[rounds / 2]
}
