//! A database that the EnvServer of the ai-orchestrator has filled (`prod_metrics`, `prod_vms`), read as
//! it is: nothing is written to it, and no owner's rights are needed.
//!
//! Its units: VM CPU as a fraction of the VM's cores (`prod_vms.total_cpu`), memory in MiB,
//! disk and network in MiB per window of 40 seconds. Ids are decimal text.

use super::super::{Described, Known, Placing, Sent, StoreError, StoreStatus};
use super::failure;
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::ids::VmId;
use postgres::{Client, Row};

/// Seconds that one row sums disk and network over.
const WINDOW: f64 = 40.0;

/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;

/// Mean and 95th percentile over the week before the newest row, per VM.
const ESTIMATES: &str = "
SELECT m.id, count(*), extract(epoch FROM max(m.ts))::bigint, max(v.total_cpu),
       avg(m.cpu), percentile_cont(0.95) WITHIN GROUP (ORDER BY m.cpu), stddev_pop(m.cpu),
       avg(m.memory), percentile_cont(0.95) WITHIN GROUP (ORDER BY m.memory),
       avg(m.disk_read + m.disk_write), percentile_cont(0.95) WITHIN GROUP (ORDER BY m.disk_read + m.disk_write),
       avg(m.net_rx + m.net_tx), percentile_cont(0.95) WITHIN GROUP (ORDER BY m.net_rx + m.net_tx)
FROM prod_metrics m LEFT JOIN prod_vms v ON v.vmid = m.id
WHERE m.type = 1 AND m.id = ANY($1) AND m.ts > (SELECT max(ts) FROM prod_metrics) - interval '7 days'
GROUP BY m.id";

/// Whether the database is one of the ai-orchestrator and holds no tables of ours.
pub fn is_one(client: &mut Client) -> Result<bool, StoreError> {
    let sql = "SELECT to_regclass('oneaio.meta') IS NULL AND to_regclass('prod_metrics') IS NOT NULL";
    client.query_one(sql, &[]).map(|row| row.get(0)).map_err(|error| failure(&error))
}

/// The tables of the ai-orchestrator, for reading.
pub struct AiOrchestrator {
    client: Client,
}

impl AiOrchestrator {
    /// Over an open connection.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Known for AiOrchestrator {
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
        let ids: Vec<String> = vms.iter().map(ToString::to_string).collect();
        let rows = self.client.query(ESTIMATES, &[&ids]).map_err(|error| failure(&error))?;
        Ok(rows.iter().filter_map(estimate).collect())
    }
}

impl Placing for AiOrchestrator {
    fn remember(&mut self, _sent: &Sent<'_>) -> Result<(), StoreError> {
        Err(only_read())
    }
}

impl Described for AiOrchestrator {
    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        self.client.execute("SET statement_timeout = 0", &[]).map_err(|error| failure(&error))?;
        let sql = "SELECT count(*), count(DISTINCT id), extract(epoch FROM min(ts))::bigint,
                          extract(epoch FROM max(ts))::bigint, pg_total_relation_size('prod_metrics'),
                          EXISTS (SELECT FROM pg_indexes WHERE tablename = 'prod_metrics'
                                  AND indexdef ~* '\\(id, ts') FROM prod_metrics WHERE type = 1";
        let row = self.client.query_one(sql, &[]).map_err(|error| failure(&error))?;
        let (first, last): (Option<i64>, Option<i64>) = (row.get(2), row.get(3));
        let indexed: bool = row.get(5);
        let missing = "prod_metrics has no index on (id, ts), so each placement reads a week of it; as its owner: \
                       CREATE INDEX ON prod_metrics (id, ts)";
        Ok(StoreStatus {
            engine: "PostgreSQL, tables of the ai-orchestrator (read only)".to_owned(),
            samples: row.get(0),
            vms: row.get(1),
            estimates: 0,
            gaps: 0,
            host_samples: 0,
            span: first.zip(last),
            bytes: row.get(4),
            remarks: if indexed { Vec::new() } else { vec![missing.to_owned()] },
        })
    }
}

pub fn only_read() -> StoreError {
    let text = "it is a database of the ai-orchestrator, which is only read: run `oneaio db init` to add tables of our own beside";
    StoreError::Schema(text.to_owned())
}

/// A row in our units; `None` for an id that is none, or a VM of unknown size.
fn estimate(row: &Row) -> Option<(VmId, Estimate)> {
    let id: String = row.get(0);
    let real = |column: usize| row.get::<_, Option<f64>>(column);
    let percent = real(3).filter(|cores| *cores > 0.0)? * 100.0;
    let io = |column: usize| real(column).map(|mib| mib * MIB / WINDOW);
    let usage = |cpu: usize, memory: usize, disk: usize, net: usize| {
        Some(Usage { cpu: real(cpu)? * percent, memory: real(memory)? * 1024.0, disk_io: io(disk), net_io: io(net) })
    };
    let estimate = Estimate {
        level: usage(4, 7, 9, 11)?,
        peak: usage(5, 8, 10, 12)?,
        cpu_deviation: real(6).unwrap_or(0.0) * percent,
        trust: 1.0,
        class: None,
        samples: u64::try_from(row.get::<_, i64>(1)).unwrap_or(0),
        last_at: row.get(2),
    };
    Some((VmId(id.trim().parse().ok()?), estimate))
}
