//! What the page at `/` shows: the last decision and the course of those before it. It is drawn
//! at most once a second, however often it is asked for.

use crate::decide::Decided;
use crate::machine::locks::lock;
use crate::model::policy::Policy;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A page is as old as this before it is drawn anew.
const FRESH: Duration = Duration::from_secs(1);

/// So many decisions make the course: some hours of mm_sched at a request every 15 s.
const COURSE: usize = 2000;

/// Draws the page: the last decision if there was one, the course, and how the service stands
/// (the body of /readyz).
pub type Draw = Box<dyn Fn(Option<&Shown>, &[Point], &Value) -> String + Send + Sync>;

/// One decision in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Seconds since 1970.
    pub at: i64,
    /// Largest D afterwards.
    pub largest: f64,
    /// VMs placed.
    pub placed: usize,
    /// VMs still waiting.
    pub waiting: usize,
}

/// The last decision.
pub struct Shown {
    /// It itself.
    pub decided: Arc<Decided>,
    /// By which it was made.
    pub policy: Policy,
}

/// The page.
pub struct Board {
    draw: Draw,
    shown: Mutex<(Option<Arc<Shown>>, VecDeque<Point>)>,
    drawn: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Board {
    /// Nothing was decided yet.
    pub fn new(draw: Draw) -> Self {
        Self { draw, shown: Mutex::default(), drawn: Mutex::default() }
    }

    /// A decision that was answered.
    pub fn put(&self, shown: Shown, at: i64) {
        let report = &shown.decided.planned.report;
        let (placed, waiting) = (report.decisions.len(), report.refusals.len());
        let point = Point { at, largest: report.objective.1, placed, waiting };
        let mut now = lock(&self.shown);
        now.0 = Some(Arc::new(shown));
        now.1.push_back(point);
        if now.1.len() > COURSE {
            now.1.pop_front();
        }
    }

    /// The page, with how the service stands.
    pub fn text(&self, stands: &Value) -> Arc<str> {
        let mut drawn = lock(&self.drawn);
        if let Some((_, text)) = drawn.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return text.clone();
        }
        let (shown, course) = {
            let now = lock(&self.shown);
            (now.0.clone(), now.1.iter().copied().collect::<Vec<_>>())
        };
        let text: Arc<str> = (self.draw)(shown.as_deref(), &course, stands).into();
        *drawn = Some((Instant::now(), text.clone()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_drawn_once_a_second_at_most() {
        let board =
            Board::new(Box::new(|shown, course, stands| format!("{} {} {stands}", shown.is_some(), course.len())));
        let text = |stands: u32| board.text(&Value::from(stands)).to_string();
        assert_eq!((text(1), text(2)), ("false 0 1".to_owned(), "false 0 1".to_owned()));
        // as if a second had gone by
        lock(&board.drawn).as_mut().unwrap().0 = Instant::now().checked_sub(FRESH).unwrap();
        assert_eq!((text(3), text(4)), ("false 0 3".to_owned(), "false 0 3".to_owned()));
    }

    #[test]
    fn the_last_decision_is_shown_and_a_course_of_those_before() {
        use crate::decide;
        use crate::model::history::Recall;
        use crate::placement::testing::{ask, cloud};
        let decided = |cores: i64| {
            let mut snapshot = cloud(&[8]);
            ask(&mut snapshot, 1, &[0]);
            ask(&mut snapshot, cores, &[0]);
            Arc::new(decide::place_snapshot(snapshot, &Recall::default(), &Policy::default()))
        };
        let board = Board::new(Box::new(|shown, course, _| {
            let last = course.last().map(|point| (point.at, point.placed, point.waiting, point.largest));
            let largest = shown.map(|shown| shown.decided.planned.report.objective.1);
            let same = last.map(|(.., largest)| largest) == largest;
            let points = (course.len(), course.first().map(|point| point.at));
            format!("{points:?} {:?} {same}", last.map(|(at, placed, waiting, _)| (at, placed, waiting)))
        }));
        let text = || {
            *lock(&board.drawn) = None;
            board.text(&Value::Null).to_string()
        };
        assert_eq!(text(), "(0, None) None true");
        let (two, one) = (decided(1), decided(99));
        let put = |decided: &Arc<Decided>, at: i64| {
            board.put(Shown { decided: decided.clone(), policy: Policy::default() }, at);
        };
        put(&two, 0);
        assert_eq!(text(), "(1, Some(0)) Some((0, 2, 0)) true");
        (1..COURSE as i64).for_each(|at| put(&two, at));
        assert_eq!(text(), "(2000, Some(0)) Some((1999, 2, 0)) true");
        put(&one, 2000);
        assert_eq!(text(), "(2000, Some(1)) Some((2000, 1, 1)) true");
    }
}
