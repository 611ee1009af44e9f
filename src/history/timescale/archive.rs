//! The learning side of the shared engine.

use super::super::archive::{Archive, SIZES, group, vectors};
use super::super::{Learnt, StoreError, fields};
use super::writing::save_learnt;
use super::{TimescaleStore, column, estimate, failure};
use crate::model::demand::Usage;
use crate::model::history::{Estimate, Group, Vectors};
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};

fn numbers(vms: &[VmId]) -> Vec<i32> {
    vms.iter().map(|vm| vm.0).collect()
}

impl Archive for TimescaleStore {
    fn known(&mut self) -> Result<Vec<VmId>, StoreError> {
        let rows = self.client.query("SELECT vm FROM oneaio.estimates ORDER BY vm", &[]);
        rows.map_err(|error| failure(&error))?.iter().map(|row| Ok(VmId(column(row, 0)?))).collect()
    }

    fn identities(&mut self, vms: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError> {
        let sql = "SELECT vm, identity FROM oneaio.identities WHERE $1::int[] IS NULL OR vm = ANY($1) ORDER BY vm";
        let rows = self.client.query(sql, &[&vms.map(numbers)]).map_err(|error| failure(&error))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let text: String = column(row, 1)?;
            found.extend(serde_json::from_str(&text).ok().map(|identity| (row.get(0), identity)));
        }
        Ok(found.into_iter().map(|(vm, identity)| (VmId(vm), identity)).collect())
    }

    fn states(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError> {
        let sql =
            format!("SELECT vm, {}, state FROM oneaio.estimates WHERE vm = ANY($1) ORDER BY vm", fields::ESTIMATE);
        let rows = self.client.query(&sql, &[&numbers(vms)]).map_err(|error| failure(&error))?;
        rows.iter().map(|row| Ok((VmId(column(row, 0)?), estimate(row)?, column(row, row.len() - 1)?))).collect()
    }

    fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError> {
        let sql = "SELECT at, cpu::float8, memory, disk, net FROM oneaio.samples WHERE vm = $1 ORDER BY at";
        let rows = self.client.query(sql, &[&vm.0]).map_err(|error| failure(&error))?;
        let sample = |row: &postgres::Row| -> Result<VmSample, StoreError> {
            let usage = Usage {
                // what is missing is no amount, and learning passes it over
                cpu: column::<Option<f64>>(row, 1)?.unwrap_or(f64::NAN),
                memory: column::<Option<f64>>(row, 2)?.unwrap_or(f64::NAN),
                disk_io: column(row, 3)?,
                net_io: column(row, 4)?,
            };
            Ok(VmSample { vm, at: column(row, 0)?, usage })
        };
        rows.iter().map(sample).collect()
    }

    fn revise(&mut self, learnt: &[(VmId, Learnt)]) -> Result<(), StoreError> {
        self.writing(|transaction| save_learnt(transaction, learnt))
    }

    fn vectors(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Vectors)>, StoreError> {
        let sql = "SELECT vm, vector FROM oneaio.estimates WHERE vm = ANY($1) AND vector IS NOT NULL";
        let rows = self.client.query(sql, &[&numbers(vms)]).map_err(|error| failure(&error))?;
        rows.iter().map(|row| Ok((VmId(column(row, 0)?), vectors(&column::<String>(row, 1)?)))).collect()
    }

    fn relatives(&mut self, keys: &[String]) -> Result<Vec<(String, Group)>, StoreError> {
        let sql = "SELECT key, content FROM oneaio.relatives WHERE key = ANY($1) AND key NOT LIKE 'size:%'
                   UNION ALL (SELECT key, content FROM oneaio.relatives WHERE key LIKE 'size:%'
                              ORDER BY vms DESC, key LIMIT $2)";
        let rows = self.client.query(sql, &[&keys, &SIZES]).map_err(|error| failure(&error))?;
        rows.iter().map(|row| Ok((column(row, 0)?, group(&column::<String>(row, 1)?)))).collect()
    }

    fn relate(&mut self, groups: &[(String, Group)]) -> Result<(), StoreError> {
        let keys: Vec<&str> = groups.iter().map(|(key, _)| key.as_str()).collect();
        let counts: Vec<i64> = groups.iter().map(|(_, group)| group.vms).collect();
        let contents: Vec<String> =
            groups.iter().map(|(_, group)| serde_json::to_string(group).unwrap_or_default()).collect();
        self.writing(|transaction| {
            // one after the other: two collectors would insert the same keys
            transaction.execute("LOCK TABLE oneaio.relatives IN EXCLUSIVE MODE", &[])?;
            transaction.execute("DELETE FROM oneaio.relatives", &[])?;
            let sql = "INSERT INTO oneaio.relatives SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])";
            transaction.execute(sql, &[&keys, &counts, &contents]).map(|_| ())
        })
    }
}
