//! What others have measured of hosts, in the shared engine.

use super::super::{Measuring, StoreError};
use super::{TimescaleStore, Value, column};
use crate::model::ids::{HostId, VmId};
use crate::model::measure::{Company, HostMeasure, Pressure};
use postgres::types::Type;

impl Measuring for TimescaleStore {
    fn keep_measures(&mut self, hosts: &[HostMeasure], vms: &[Company]) -> Result<(), StoreError> {
        let of = |get: fn(&HostMeasure) -> Option<f64>| hosts.iter().map(get).collect::<Vec<_>>();
        let ids: Vec<i32> = hosts.iter().map(|one| one.host.0).collect();
        let times: Vec<i64> = hosts.iter().map(|one| one.at).collect();
        let (cpu, busy, watts) = (of(|one| one.cpu), of(|one| one.busy), of(|one| one.watts));
        let (pressure, waiting) = (of(|one| one.pressure), of(|one| one.waiting));
        let (int, long, float) = (|| Type::INT4_ARRAY, || Type::INT8_ARRAY, || Type::FLOAT8_ARRAY);
        let measures: [Value<'_>; 7] = [
            (&ids, int()),
            (&times, long()),
            (&cpu, float()),
            (&busy, float()),
            (&watts, float()),
            (&pressure, float()),
            (&waiting, float()),
        ];
        let who: Vec<i32> = vms.iter().map(|one| one.vm.0).collect();
        let days: Vec<i64> = vms.iter().map(|one| one.day).collect();
        let at: Vec<i32> = vms.iter().map(|one| one.host.0).collect();
        let steps: Vec<i32> = vms.iter().map(|one| i32::try_from(one.steps).unwrap_or(i32::MAX)).collect();
        let felt: Vec<Option<f64>> = vms.iter().map(|one| one.pressure).collect();
        let steal: Vec<Option<f64>> = vms.iter().map(|one| one.steal).collect();
        let companies: [Value<'_>; 6] =
            [(&who, int()), (&days, long()), (&at, int()), (&steps, int()), (&felt, float()), (&steal, float())];
        self.long(|transaction| {
            let sql = "INSERT INTO oneaio.host_measures SELECT * FROM unnest($1::int[], $2::bigint[], $3::float8[],
                           $4::float8[], $5::float8[], $6::float8[], $7::float8[])
                       ON CONFLICT (host, at) DO UPDATE SET cpu = excluded.cpu, busy = excluded.busy,
                           watts = excluded.watts, pressure = excluded.pressure, waiting = excluded.waiting";
            transaction.execute_typed(sql, &measures)?;
            let sql = "INSERT INTO oneaio.companies SELECT * FROM unnest($1::int[], $2::bigint[], $3::int[], $4::int[],
                           $5::float8[], $6::float8[])
                       ON CONFLICT (vm, day, host) DO UPDATE SET steps = excluded.steps,
                           pressure = excluded.pressure, steal = excluded.steal";
            transaction.execute_typed(sql, &companies)?;
            Ok(())
        })
    }

    fn measured(&mut self) -> Result<Vec<HostId>, StoreError> {
        let rows = self.rows_if_any("SELECT DISTINCT host FROM oneaio.host_measures ORDER BY host", &[])?;
        rows.iter().map(|row| Ok(HostId(column(row, 0)?))).collect()
    }

    fn measures(&mut self, host: HostId) -> Result<Vec<HostMeasure>, StoreError> {
        let sql =
            "SELECT at, cpu, busy, watts, pressure, waiting FROM oneaio.host_measures WHERE host = $1 ORDER BY at";
        let rows = self.rows_if_any(sql, &[(&host.0, Type::INT4)])?;
        let measure = |row: &postgres::Row| {
            Ok(HostMeasure {
                host,
                at: column(row, 0)?,
                cpu: column(row, 1)?,
                busy: column(row, 2)?,
                watts: column(row, 3)?,
                pressure: column(row, 4)?,
                waiting: column(row, 5)?,
            })
        };
        rows.iter().map(measure).collect()
    }

    fn pressures(&mut self, since: i64) -> Result<Vec<Pressure>, StoreError> {
        let sql = "SELECT host, avg(pressure), avg(waiting), max(at) FROM oneaio.host_measures
                   WHERE at > $1 AND coalesce(pressure, waiting) IS NOT NULL GROUP BY host ORDER BY host";
        let rows = self.rows_if_any(sql, &[(&since, Type::INT8)])?;
        let pressure = |row: &postgres::Row| {
            Ok(Pressure {
                host: HostId(column(row, 0)?),
                pressure: column(row, 1)?,
                waiting: column(row, 2)?,
                last_at: column(row, 3)?,
            })
        };
        rows.iter().map(pressure).collect()
    }

    fn companies(&mut self) -> Result<Vec<Company>, StoreError> {
        let sql = "SELECT vm, day, host, steps, pressure, steal FROM oneaio.companies ORDER BY vm, day, host";
        let rows = self.rows_if_any(sql, &[])?;
        let company = |row: &postgres::Row| {
            Ok(Company {
                vm: VmId(column(row, 0)?),
                day: column(row, 1)?,
                host: HostId(column(row, 2)?),
                steps: u32::try_from(column::<i32>(row, 3)?).unwrap_or(0),
                pressure: column(row, 4)?,
                steal: column(row, 5)?,
            })
        };
        rows.iter().map(company).collect()
    }
}
