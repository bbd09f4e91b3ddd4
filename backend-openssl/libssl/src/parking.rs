//! A call of a library that cannot be interrupted, and still waits for the caller.
//!
//! Where a library asks in a callback and takes no "later" for an answer, the call is made on a thread
//! of its own, which waits within the callback. Whoever made the call goes on meanwhile, without
//! touching what the library works on: the library itself stands still, so that nothing it has not
//! decided can leave. One thread waits for each such session, and only for as long as it does.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Where a call stands; shared by the two threads, of which one is always waiting for the other.
#[derive(Debug, Default)]
pub struct Lot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none, or it runs on the thread that made it.
    #[default]
    Elsewhere,
    /// It runs, and its maker waits for it.
    Runs,
    /// It waits in its callback for its maker.
    Waits,
    /// It is to end as soon as it can: its maker is gone, and waits for that.
    Abandoned,
    /// It has come to something.
    Done,
}

impl Lot {
    /// Waits within a callback until the call is made again; `false` if it never will be, or if the
    /// call runs on the thread of its maker, who cannot go on before it is done.
    pub fn wait(&self) -> bool {
        let mut state = self.state();
        if *state != State::Runs {
            return false;
        }
        *state = State::Waits;
        self.changed.notify_all();
        while *state == State::Waits {
            state = self.until_changed(state);
        }
        *state == State::Runs
    }

    /// Whether whoever made the call that waits is gone.
    pub fn is_abandoned(&self) -> bool {
        *self.state() == State::Abandoned
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until_changed<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that has come to something when this is dropped.
struct Done(Arc<Lot>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.set(State::Done);
    }
}

/// Makes calls that may wait, one at a time.
#[derive(Debug)]
pub struct Parking<R> {
    lot: Arc<Lot>,
    call: Option<JoinHandle<R>>,
    /// A call could not be made.
    failed: bool,
}

impl<R: Send + 'static> Parking<R> {
    /// Makes calls whose callbacks wait there.
    pub fn new(lot: Arc<Lot>) -> Self {
        Self {
            lot,
            call: None,
            failed: false,
        }
    }

    /// Makes a call, or lets the one that waits go on. `None` if it waits, again.
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no thread left; or that the call panicked.
    pub fn call(&mut self, call: impl FnOnce() -> R + Send + 'static) -> io::Result<Option<R>> {
        self.lot.set(State::Runs);
        if self.call.is_none() {
            let lot = self.lot.clone();
            let run = move || {
                // Also if it panics: somebody waits for it.
                let _done = Done(lot);
                call()
            };
            let spawned = thread::Builder::new().name("polytls waits".to_owned());
            match spawned.spawn(run) {
                Ok(handle) => self.call = Some(handle),
                Err(error) => {
                    self.lot.set(State::Elsewhere);
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        let mut state = self.lot.state();
        while *state == State::Runs {
            state = self.lot.until_changed(state);
        }
        if *state == State::Waits {
            return Ok(None);
        }
        *state = State::Elsewhere;
        drop(state);
        let joined = self.call.take().map(JoinHandle::join);
        match joined {
            Some(Ok(result)) => Ok(Some(result)),
            _ => {
                self.failed = true;
                Err(io::Error::other("the call panicked"))
            }
        }
    }

    /// Whether a call could not be made, so that what it was about has not happened.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether a call waits.
    pub fn is_waiting(&self) -> bool {
        self.call.is_some()
    }

    /// Has a call that waits end now, and waits for that.
    pub fn abandon(&mut self) {
        if let Some(call) = self.call.take() {
            self.lot.set(State::Abandoned);
            // What it comes to matters to nobody.
            let _ = call.join();
            self.lot.set(State::Elsewhere);
        }
    }
}

impl<R> Drop for Parking<R> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.lot.set(State::Abandoned);
            let _ = call.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_until_it_is_made_again() {
        let lot = Arc::new(Lot::default());
        let mut parking = Parking::new(lot.clone());
        let asks = lot.clone();
        let call = move || (asks.wait(), asks.wait());
        assert_eq!(parking.call(call).unwrap(), None);
        assert!(!lot.is_abandoned());
        assert!(parking.is_waiting());
        let never = || unreachable!("one waits already");
        assert_eq!(parking.call(never).unwrap(), None);
        assert_eq!(parking.call(never).unwrap(), Some((true, true)));
        assert!(!parking.is_waiting());
        assert!(!lot.wait(), "nobody would ever come back to this call");
        assert_eq!(parking.call(|| (false, true)).unwrap(), Some((false, true)));
    }

    #[test]
    fn a_call_that_panics_has_failed() {
        let mut parking = Parking::new(Arc::new(Lot::default()));
        assert_eq!(parking.call(|| 1).unwrap(), Some(1));
        assert!(!parking.has_failed());
        parking.call(|| -> i32 { panic!("at once") }).unwrap_err();
        assert!(parking.has_failed() && !parking.is_waiting());
    }

    #[test]
    fn a_call_that_is_abandoned_ends() {
        let lot = Arc::new(Lot::default());
        for drops in [false, true] {
            let mut parking = Parking::new(lot.clone());
            let (asks, heard) = (lot.clone(), Arc::new(Mutex::new(None)));
            let hears = heard.clone();
            let waits = move || {
                let goes_on = asks.wait();
                *hears.lock().unwrap() = Some((goes_on, asks.is_abandoned()));
            };
            assert_eq!(parking.call(waits).unwrap(), None);
            match drops {
                true => drop(parking),
                false => parking.abandon(),
            }
            assert_eq!(*heard.lock().unwrap(), Some((false, true)));
        }
    }
}
