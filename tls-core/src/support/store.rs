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

struct Entries<K, V> {
    values: HashMap<K, VecDeque<(Instant, V)>>,
    /// The keys, in the order they were first inserted.
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V> BoundedStore<K, V> {
    /// A store of up to `capacity` keys with up to `per_key` values each, kept for `timeout`.
    pub fn new(capacity: usize, per_key: usize, timeout: Duration) -> Self {
        Self {
            capacity: capacity.max(1),
            per_key: per_key.max(1),
            timeout,
            entries: Mutex::new(Entries {
                values: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// Adds a value for a key; the oldest value of the key, or the oldest key, makes room.
    pub fn insert(&self, key: K, value: V) {
        let mut entries = self.lock();
        let Entries { values, order } = &mut *entries;
        if !values.contains_key(&key) {
            while values.len() >= self.capacity {
                let Some(oldest) = order.pop_front() else {
                    break;
                };
                values.remove(&oldest);
            }
            order.push_back(key.clone());
        }
        let kept = values.entry(key).or_default();
        if kept.len() >= self.per_key {
            kept.pop_front();
        }
        kept.push_back((Instant::now(), value));
    }

    /// Takes the newest value of a key out of the store, so that it is used once.
    pub fn take<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut entries = self.lock();
        let kept = entries.values.get_mut(key)?;
        let newest = kept.pop_back();
        if kept.is_empty() {
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
        let (since, value) = entries.values.get(key)?.back()?;
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

impl<K: Eq + Hash, V> Entries<K, V> {
    fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.values.remove(key).is_some() {
            self.order.retain(|ordered| ordered.borrow() != key);
        }
    }
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
    fn an_old_value_is_not_given() {
        let store = BoundedStore::new(1, 1, Duration::ZERO);
        store.insert(0, 0);
        assert_eq!(store.peek(&0), None);
        store.insert(0, 0);
        assert_eq!(store.take(&0), None);
    }
}
