//! Locks that outlive a thread which died with them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a thread has died with the lock: what our locks guard is replaced whole
/// or counts up, so it is never half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
