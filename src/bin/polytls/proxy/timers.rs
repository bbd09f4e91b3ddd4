//! One deadline per connection, moved at every event without touching the heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The deadlines of the connections of one worker, by slot.
///
/// A slot's deadline is moved later by writing it down; its heap entry stays where it is and is put
/// back, at the later time, when it comes up. Only a deadline that is moved earlier pushes a second
/// entry, which makes the first one stale.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: Vec<Slot>,
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

#[derive(Debug, Default, Clone)]
struct Slot {
    deadline: Option<Instant>,
    /// The time of the heap entry that stands for this slot; others are stale.
    armed: Option<Instant>,
}

impl Timers {
    /// Sets, moves or clears the deadline of a slot.
    pub(super) fn set(&mut self, slot: usize, deadline: Option<Instant>) {
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, Slot::default());
        }
        let entry = &mut self.slots[slot];
        entry.deadline = deadline;
        let Some(deadline) = deadline else { return };
        if entry.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        entry.armed = Some(deadline);
        self.heap.push(Reverse((deadline, slot)));
        self.drop_stale_entries();
    }

    /// A slot whose deadline has passed, and which has none from now on.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        while let Some(&Reverse((at, slot))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            let entry = &mut self.slots[slot];
            if entry.armed != Some(at) {
                continue;
            }
            entry.armed = None;
            let Some(deadline) = entry.deadline else {
                continue;
            };
            if deadline > now {
                entry.armed = Some(deadline);
                self.heap.push(Reverse((deadline, slot)));
                continue;
            }
            entry.deadline = None;
            return Some(slot);
        }
        None
    }

    /// When to look again: never later than the earliest deadline, perhaps earlier.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|&Reverse((at, _))| at)
    }

    /// Stale entries of long timeouts would pile up where many short connections reuse a slot.
    fn drop_stale_entries(&mut self) {
        if self.heap.len() <= 2 * self.slots.len() + 64 {
            return;
        }
        let slots = &self.slots;
        self.heap
            .retain(|&Reverse((at, slot))| slots[slot].armed == Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn deadlines_come_up_in_order_and_once() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(0, Some(start + 2 * SECOND));
        timers.set(1, Some(start + SECOND));
        assert_eq!(timers.next(), Some(start + SECOND));
        assert_eq!(timers.pop_expired(start), None);
        let late = start + 3 * SECOND;
        assert_eq!(timers.pop_expired(late), Some(1));
        assert_eq!(timers.pop_expired(late), Some(0));
        assert_eq!(timers.pop_expired(late), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_can_be_moved_both_ways_and_cleared() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(0, Some(start + SECOND));
        timers.set(0, Some(start + 5 * SECOND));
        assert_eq!(timers.pop_expired(start + 2 * SECOND), None);
        timers.set(0, Some(start + 3 * SECOND));
        assert_eq!(timers.pop_expired(start + 4 * SECOND), Some(0));
        assert_eq!(timers.pop_expired(start + 6 * SECOND), None);
        timers.set(0, Some(start + SECOND));
        timers.set(0, None);
        assert_eq!(timers.pop_expired(start + 9 * SECOND), None);
    }

    #[test]
    fn moving_later_leaves_the_heap_alone() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for step in 0..10_000 {
            timers.set(0, Some(start + SECOND + Duration::from_millis(step)));
        }
        assert_eq!(timers.heap.len(), 1);
    }

    #[test]
    fn stale_entries_do_not_pile_up() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for step in (0..100_000).rev() {
            timers.set(0, Some(start + Duration::from_micros(step)));
        }
        assert!(timers.heap.len() <= 66, "{} entries", timers.heap.len());
        assert_eq!(timers.pop_expired(start), Some(0));
    }
}
