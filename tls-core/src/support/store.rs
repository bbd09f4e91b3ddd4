//! A bounded store in memory, for sessions that may be resumed.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keeps up to a number of keys, the oldest going first, and a few values for each, none older
/// than a time limit. Shared by all sessions of a context; each call takes one short lock.
pub struct BoundedStore<K, V> {
    capacity: usize,
    per_key: usize,
    timeout: Duration,
    entries: Mutex<Entries<K, V>>,
}

/// How many keys that are gone may be left in the order, besides as many as there are.
const LEFT_IN_ORDER: usize = 16;

struct Entries<K, V> {
    kept: HashMap<K, Kept<V>>,
    /// The keys and their numbers, in the order they were first inserted. Those that are gone since
    /// then, or have another number by now, are passed over: looking for them would take longer
    /// the more sessions are kept.
    order: VecDeque<(u64, K)>,
    /// The number of the next key.
    next: u64,
}

struct Kept<V> {
    number: u64,
    values: VecDeque<(Instant, V)>,
}

impl<K: Clone + Eq + Hash, V> BoundedStore<K, V> {
    /// A store of up to `capacity` keys with up to `per_key` values each, kept for `timeout`.
    pub fn new(capacity: usize, per_key: usize, timeout: Duration) -> Self {
        Self {
            capacity: capacity.max(1),
            per_key: per_key.max(1),
            timeout,
            entries: Mutex::new(Entries {
                kept: HashMap::new(),
                order: VecDeque::new(),
                next: 0,
            }),
        }
    }

    /// Adds a value for a key; the oldest value of the key, or the oldest key, makes room.
    pub fn insert(&self, key: K, value: V) {
        let mut entries = self.lock();
        if !entries.kept.contains_key(&key) {
            entries.admit(key.clone(), self.capacity);
        }
        let Some(Kept { values, .. }) = entries.kept.get_mut(&key) else {
            return;
        };
        if values.len() >= self.per_key {
            values.pop_front();
        }
        values.push_back((Instant::now(), value));
    }

    /// Takes the newest value of a key out of the store, so that it is used once.
    pub fn take<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut entries = self.lock();
        let Kept { values, .. } = entries.kept.get_mut(key)?;
        let newest = values.pop_back();
        if values.is_empty() {
            entries.remove(key);
        }
        let (since, value) = newest?;
        (since.elapsed() < self.timeout).then_some(value)
    }

    /// The newest value of a key, left in the store.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        V: Clone,
    {
        let mut entries = self.lock();
        let (since, value) = entries.kept.get(key)?.values.back()?;
        if since.elapsed() < self.timeout {
            return Some(value.clone());
        }
        entries.remove(key);
        None
    }

    /// Forgets a key and its values.
    pub fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.lock().remove(key);
    }

    /// A panic of another thread cannot leave the entries half changed.
    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V> Entries<K, V> {
    /// Makes room for a key that is not kept, which then has no value yet.
    fn admit(&mut self, key: K, capacity: usize) {
        while self.kept.len() >= capacity {
            let Some((number, oldest)) = self.order.pop_front() else {
                break;
            };
            if is_kept(&self.kept, number, &oldest) {
                self.kept.remove(&oldest);
            }
        }
        let number = self.next;
        self.next += 1;
        self.order.push_back((number, key.clone()));
        let values = VecDeque::new();
        self.kept.insert(key, Kept { number, values });
    }

    fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.kept.remove(key);
        if self.order.len() > 2 * self.kept.len() + LEFT_IN_ORDER {
            let kept = &self.kept;
            self.order
                .retain(|(number, key)| is_kept(kept, *number, key));
        }
    }
}

fn is_kept<K: Eq + Hash, V>(kept: &HashMap<K, Kept<V>>, number: u64, key: &K) -> bool {
    kept.get(key).is_some_and(|kept| kept.number == number)
}

impl<K, V> fmt::Debug for BoundedStore<K, V> {
    /// Sessions hold secrets: only the bounds are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedStore")
            .field("capacity", &self.capacity)
            .field("per_key", &self.per_key)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_oldest_key_makes_room() {
        let store = BoundedStore::new(2, 1, LONG);
        for key in 0..3 {
            store.insert(key, key);
        }
        assert_eq!(store.peek(&0), None);
        assert_eq!((store.peek(&1), store.peek(&2)), (Some(1), Some(2)));
    }

    #[test]
    fn a_value_is_taken_once_and_the_newest_first() {
        let store = BoundedStore::new(1, 2, LONG);
        for value in 0..3 {
            store.insert("key", value);
        }
        assert_eq!(store.take("key"), Some(2));
        assert_eq!(store.take("key"), Some(1));
        assert_eq!(store.take("key"), None, "the third had made room");
    }

    #[test]
    fn a_key_taken_and_inserted_again_is_not_evicted_early() {
        let store = BoundedStore::new(2, 1, LONG);
        store.insert(0, 0);
        store.insert(1, 1);
        assert_eq!(store.take(&0), Some(0));
        store.insert(0, 2);
        store.insert(2, 3);
        assert_eq!(store.peek(&1), None);
        assert_eq!((store.peek(&0), store.peek(&2)), (Some(2), Some(3)));
    }

    #[test]
    fn keys_that_are_gone_leave_nothing_behind() {
        let store = BoundedStore::new(100, 1, LONG);
        for key in 0..10 {
            store.insert(key, key);
        }
        for key in 10..1_000 {
            store.insert(key, key);
            assert_eq!(store.take(&key), Some(key));
            assert!(store.lock().order.len() <= 2 * 11 + LEFT_IN_ORDER);
        }
        for key in 0..10 {
            assert_eq!(store.peek(&key), Some(key));
        }
        for key in 0..10 {
            store.remove(&key);
        }
        assert!(store.lock().order.len() <= LEFT_IN_ORDER);
    }

    #[test]
    fn an_old_value_is_not_given() {
        let store = BoundedStore::new(1, 1, Duration::ZERO);
        store.insert(0, 0);
        assert_eq!(store.peek(&0), None);
        store.insert(0, 0);
        assert_eq!(store.take(&0), None);
    }
}
