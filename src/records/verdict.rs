//! What another configuration would make of recorded requests: sums over all of them, before
//! and after, and one sentence.

use crate::decide::{Judged, Optimized};
use serde::Serialize;

/// Sums over requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Requests that were decided.
    pub requests: usize,
    /// Those among them that place VMs.
    pub placements: usize,
    /// VMs that got a host.
    pub placed: usize,
    /// VMs that have to wait.
    pub waiting: usize,
    /// Migrations of running VMs.
    pub migrations: usize,
    /// Sum over placements of the largest D of all hosts afterwards; both sides are measured
    /// alike, without green.
    pub objective_sum: f64,
    /// The largest D of all placements.
    pub objective_max: f64,
    /// The largest share of CPU or memory of a host that any plan leaves allocated, or used
    /// where VMs migrate.
    pub fullest_host: f64,
    /// What the placed VMs draw, kWh a day.
    pub kwh_per_day: f64,
    /// What that emits, grams of CO2 a day.
    pub grams_per_day: f64,
}

impl Tally {
    /// Of one placement.
    #[must_use]
    pub fn of_plan(judged: &Judged) -> Self {
        Self {
            requests: 1,
            placements: 1,
            placed: judged.placed,
            waiting: judged.waiting,
            migrations: 0,
            objective_sum: judged.objective,
            objective_max: judged.objective,
            fullest_host: judged.fullest_host,
            kwh_per_day: judged.footprint.kwh_per_day,
            grams_per_day: judged.footprint.grams_per_day,
        }
    }

    /// Of one plan of migrations.
    #[must_use]
    pub fn of_optimization(optimized: &Optimized) -> Self {
        let migrated = &optimized.migrated;
        Self {
            requests: 1,
            migrations: migrated.migrations.len(),
            fullest_host: migrated.hosts.iter().map(|host| host.cpu.1.max(host.memory.1)).fold(0.0, f64::max),
            ..Self::default()
        }
    }

    /// Takes in another one.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.placements += other.placements;
        self.placed += other.placed;
        self.waiting += other.waiting;
        self.migrations += other.migrations;
        self.objective_sum += other.objective_sum;
        self.objective_max = self.objective_max.max(other.objective_max);
        self.fullest_host = self.fullest_host.max(other.fullest_host);
        self.kwh_per_day += other.kwh_per_day;
        self.grams_per_day += other.grams_per_day;
    }

    fn objective_mean(&self) -> f64 {
        self.objective_sum / self.placements.max(1) as f64
    }
}

/// The same requests, decided twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// By the settings that they were recorded with.
    pub before: Tally,
    /// By those that were asked about.
    pub after: Tally,
}

impl Verdict {
    /// Name, before and after of each figure, as written.
    #[must_use]
    pub fn rows(&self) -> Vec<[String; 4]> {
        let (a, b) = (&self.before, &self.after);
        let count = |name: &str, a: usize, b: usize| {
            [name.to_owned(), a.to_string(), b.to_string(), format!("{:+}", b as i64 - a as i64)]
        };
        let number = |name: &str, a: f64, b: f64, digits: usize, unit: &str| {
            let text = |x: f64| format!("{x:.digits$}{unit}");
            [name.to_owned(), text(a), text(b), format!("{:+.digits$}{unit}", b - a)]
        };
        vec![
            count("VMs placed", a.placed, b.placed),
            count("VMs waiting", a.waiting, b.waiting),
            count("migrations", a.migrations, b.migrations),
            number("largest D, mean of placements", a.objective_mean(), b.objective_mean(), 3, ""),
            number("largest D of all", a.objective_max, b.objective_max, 3, ""),
            number("fullest host", 100.0 * a.fullest_host, 100.0 * b.fullest_host, 1, " %"),
            number("energy of placed VMs a day", a.kwh_per_day, b.kwh_per_day, 2, " kWh"),
            number("emissions of placed VMs a day", a.grams_per_day, b.grams_per_day, 0, " gCO2"),
        ]
    }

    /// Better, worse or mixed, by what; in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (a, b) = (&self.before, &self.after);
        let (mut better, mut worse) = (Vec::new(), Vec::new());
        let mut judge = |gain: f64, least: f64, good: String, bad: String| {
            if gain > least {
                better.push(good);
            } else if gain < -least {
                worse.push(bad);
            }
        };
        let more = b.placed.abs_diff(a.placed);
        let gain = b.placed as f64 - a.placed as f64;
        judge(gain, 0.5, format!("{more} more VMs are placed"), format!("{more} fewer VMs are placed"));
        let change = |old: f64, new: f64| if old > 0.0 { 100.0 * (new - old).abs() / old } else { 100.0 };
        let (old, new) = (a.objective_mean(), b.objective_mean());
        let percent = change(old, new);
        judge(old - new, 0.005 * old, format!("D falls by {percent:.0} %"), format!("D rises by {percent:.0} %"));
        // more VMs draw more: what counts is what one VM emits
        let each = |tally: &Tally| tally.grams_per_day / tally.placed.max(1) as f64;
        let percent = change(each(a), each(b));
        judge(
            each(a) - each(b),
            0.005 * each(a),
            format!("a placed VM emits {percent:.0} % less"),
            format!("a placed VM emits {percent:.0} % more"),
        );
        let fewer = b.migrations.abs_diff(a.migrations);
        let gain = a.migrations as f64 - b.migrations as f64;
        judge(gain, 0.5, format!("{fewer} fewer migrations"), format!("{fewer} more migrations"));
        match (better.is_empty(), worse.is_empty()) {
            (true, true) => "no difference that counts".to_owned(),
            (false, true) => format!("better: {}", better.join(", ")),
            (true, false) => format!("worse: {}", worse.join(", ")),
            (false, false) => format!("mixed: {}; but {}", better.join(", "), worse.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_tells_what_is_better_and_what_is_worse() {
        let before = Tally {
            requests: 2,
            placements: 2,
            placed: 10,
            objective_sum: 1.0,
            grams_per_day: 100.0,
            ..Tally::default()
        };
        let of = |after: Tally| Verdict { before, after }.sentence();
        assert_eq!(of(before), "no difference that counts");
        assert_eq!(of(Tally { placed: 12, grams_per_day: 120.0, ..before }), "better: 2 more VMs are placed");
        assert_eq!(of(Tally { objective_sum: 1.5, ..before }), "worse: D rises by 50 %");
        let mixed = of(Tally { grams_per_day: 80.0, objective_sum: 1.1, migrations: 3, ..before });
        assert_eq!(mixed, "mixed: a placed VM emits 20 % less; but D rises by 10 %, 3 more migrations");
        let rows = Verdict { before, after: Tally { placed: 8, waiting: 2, ..before } }.rows();
        assert_eq!(rows[0], ["VMs placed", "10", "8", "-2"].map(str::to_owned));
        let mut sum = before;
        sum.add(&Tally { requests: 1, placed: 1, objective_max: 3.0, ..Tally::default() });
        assert_eq!((sum.requests, sum.placed, sum.objective_max), (3, 11, 3.0));
    }

    #[test]
    fn half_a_percent_is_no_difference_and_more_is() {
        // powers of two, so that no rounding tips the scale
        let before = Tally { placements: 1, placed: 1, objective_sum: 200.0, grams_per_day: 200.0, ..Tally::default() };
        let of = |after: Tally| Verdict { before, after }.sentence();
        for less in [1.0, -1.0] {
            assert_eq!(of(Tally { objective_sum: 200.0 - less, ..before }), "no difference that counts");
            assert_eq!(of(Tally { grams_per_day: 200.0 - less, ..before }), "no difference that counts");
        }
        assert_eq!(of(Tally { objective_sum: 198.0, ..before }), "better: D falls by 1 %");
        assert_eq!(of(Tally { objective_sum: 202.0, ..before }), "worse: D rises by 1 %");
        assert_eq!(of(Tally { grams_per_day: 202.0, ..before }), "worse: a placed VM emits 1 % more");
        assert_eq!(of(Tally { migrations: 1, ..before }), "worse: 1 more migrations");
    }

    #[test]
    fn each_figure_has_its_row_with_both_sides_and_the_difference() {
        let tally = |n: usize, x: f64| Tally {
            requests: n,
            placements: 4,
            placed: 10 * n,
            waiting: n,
            migrations: 2 * n,
            objective_sum: 8.0 * x,
            objective_max: 3.0 * x,
            fullest_host: 0.25 * x,
            kwh_per_day: 1.5 * x,
            grams_per_day: 100.0 * x,
        };
        let rows = Verdict { before: tally(3, 1.0), after: tally(2, 2.0) }.rows();
        assert_eq!(
            rows,
            [
                ["VMs placed", "30", "20", "-10"],
                ["VMs waiting", "3", "2", "-1"],
                ["migrations", "6", "4", "-2"],
                ["largest D, mean of placements", "2.000", "4.000", "+2.000"],
                ["largest D of all", "3.000", "6.000", "+3.000"],
                ["fullest host", "25.0 %", "50.0 %", "+25.0 %"],
                ["energy of placed VMs a day", "1.50 kWh", "3.00 kWh", "+1.50 kWh"],
                ["emissions of placed VMs a day", "100 gCO2", "200 gCO2", "+100 gCO2"],
            ]
            .map(|row| row.map(str::to_owned))
        );
        let mut sum = tally(3, 1.0);
        sum.add(&tally(2, 2.0));
        let expected = Tally {
            requests: 5,
            placements: 8,
            placed: 50,
            waiting: 5,
            migrations: 10,
            objective_sum: 24.0,
            objective_max: 6.0,
            fullest_host: 0.5,
            kwh_per_day: 4.5,
            grams_per_day: 300.0,
        };
        assert_eq!(sum, expected);
        sum.add(&Tally { objective_max: 1.0, fullest_host: 0.1, ..Tally::default() });
        assert_eq!(sum, expected);
        assert_eq!((expected.objective_mean(), Tally::default().objective_mean()), (3.0, 0.0));
    }

    #[test]
    fn both_ways_are_told_and_what_was_nothing_before_is_all_more() {
        let before = Tally {
            placements: 1,
            placed: 4,
            migrations: 4,
            objective_sum: 0.0,
            grams_per_day: 0.0,
            ..Tally::default()
        };
        let of = |after: Tally| Verdict { before, after }.sentence();
        assert_eq!(of(Tally { objective_sum: 1.0, ..before }), "worse: D rises by 100 %");
        assert_eq!(of(Tally { grams_per_day: 1.0, ..before }), "worse: a placed VM emits 100 % more");
        assert_eq!(of(Tally { placed: 3, ..before }), "worse: 1 fewer VMs are placed");
        assert_eq!(of(Tally { migrations: 1, ..before }), "better: 3 fewer migrations");
        assert_eq!(
            of(Tally { placed: 5, migrations: 6, ..before }),
            "mixed: 1 more VMs are placed; but 2 more migrations"
        );
        assert_eq!(
            of(Tally { placed: 6, migrations: 3, ..before }),
            "better: 2 more VMs are placed, 1 fewer migrations"
        );
    }
}
