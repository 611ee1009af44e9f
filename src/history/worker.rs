//! A store behind a deadline: it is opened and asked in a thread of its own, and whoever
//! waits for it waits no longer than agreed, whatever the server does. A thread that never
//! comes back is left behind; the process ends without it.

use super::{Placing, StoreError};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Opens a store; runs in the worker's thread.
pub type Open = Box<dyn FnOnce() -> Result<Box<dyn Placing>, StoreError> + Send>;

type Job = Box<dyn FnOnce(&mut dyn Placing) + Send>;

/// A store that answers in time or counts as lost.
pub struct Worker {
    jobs: Sender<Job>,
    lost: Receiver<StoreError>,
    until: Instant,
    deadline: Duration,
}

impl Worker {
    /// Starts opening the store; `deadline` covers everything from now on.
    #[must_use]
    pub fn start(open: Open, deadline: Duration) -> Self {
        let (jobs, inbox) = channel::<Job>();
        let (failed, lost) = channel();
        std::thread::spawn(move || match open() {
            Ok(mut store) => inbox.into_iter().for_each(|job| job(store.as_mut())),
            // nobody may listen any more
            Err(error) => drop(failed.send(error)),
        });
        Self { jobs, lost, until: Instant::now() + deadline, deadline }
    }

    /// Asks the store and waits for the answer, at most until the deadline.
    ///
    /// # Errors
    /// When it cannot be opened, answers with an error, or does not answer in time.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Placing) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin(question).and_then(|answers| self.wait(&answers))
    }

    /// Asks the store without waiting for the answer.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn begin<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Placing) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Receiver<Result<T, StoreError>>, StoreError> {
        let (answer, answers) = channel();
        let job: Job = Box::new(move |store| drop(answer.send(question(store))));
        self.jobs.send(job).map_err(|_| self.reason())?;
        Ok(answers)
    }

    /// Waits for an answer, at most until the deadline.
    ///
    /// # Errors
    /// When the store answers with an error, or does not answer in time.
    pub fn wait<T>(&self, answers: &Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        let left = self.until.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(StoreError::Late(format!("{:.1}", self.deadline.as_secs_f64()))),
            Err(RecvTimeoutError::Disconnected) => Err(self.reason()),
        }
    }

    /// Gives the next questions the whole deadline again.
    pub fn renew(&mut self) {
        self.until = Instant::now() + self.deadline;
    }

    /// Why the thread is gone.
    fn reason(&self) -> StoreError {
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
        self.lost.recv_timeout(left).unwrap_or_else(|_| StoreError::Other("its thread ended".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sqlite::SqliteStore;
    use crate::model::ids::VmId;

    fn memory() -> Result<Box<dyn Placing>, StoreError> {
        let store = SqliteStore::open(std::path::Path::new(":memory:"), Duration::from_secs(1))?;
        Ok(Box::new(store))
    }

    #[test]
    fn an_answer_in_time_is_an_answer() {
        let worker = Worker::start(Box::new(memory), Duration::from_secs(5));
        assert_eq!(worker.ask(|store| store.estimates(&[VmId(1)])), Ok(vec![]));
        assert_eq!(worker.ask(|store| store.placements(0)), Ok(vec![]));
    }

    #[test]
    fn a_store_that_does_not_open_says_why() {
        let worker = Worker::start(Box::new(|| Err(StoreError::ReadOnly)), Duration::from_secs(5));
        assert_eq!(worker.ask(|store| store.placements(0)), Err(StoreError::ReadOnly));
    }

    #[test]
    fn a_silent_store_is_lost_at_the_deadline() {
        let silent: Open = Box::new(|| {
            std::thread::sleep(Duration::from_secs(600));
            memory()
        });
        let worker = Worker::start(silent, Duration::from_millis(100));
        assert_eq!(worker.ask(|store| store.placements(0)), Err(StoreError::Late("0.1".to_owned())));
    }

    #[test]
    fn questions_may_wait_and_a_thread_that_ends_says_so() {
        let mut worker = Worker::start(Box::new(memory), Duration::from_secs(5));
        let answers = worker.begin(|store| store.placements(0)).unwrap();
        assert_eq!(worker.wait(&answers), Ok(vec![]));
        assert_eq!(worker.ask(|_| Err::<(), _>(StoreError::Full)), Err(StoreError::Full));
        // beyond its time it is late, and a new question has the whole time again
        worker.deadline = Duration::from_millis(1500);
        worker.until = Instant::now();
        let (_never, answers) = channel::<Result<(), StoreError>>();
        assert_eq!(worker.wait(&answers), Err(StoreError::Late("1.5".to_owned())));
        worker.renew();
        assert!(worker.until > Instant::now());
        assert_eq!(worker.ask(|store| store.placements(0)), Ok(vec![]));
        let ended = worker.ask(|_| -> Result<(), StoreError> { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(ended, Err(StoreError::Other("its thread ended".to_owned())));
        assert_eq!(worker.ask(|store| store.placements(0)), Err(StoreError::Other("its thread ended".to_owned())));
    }
}
