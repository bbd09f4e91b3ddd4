//! One direction of a relayed connection: what is held, and how far its end has come.

/// Bytes that were taken from one side and could not be passed on yet. The memory exists only while
/// there are any.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    start: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// Holds a copy of these bytes; only when nothing is held.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_empty(), "held bytes would be overwritten");
        self.bytes = bytes.to_vec();
        self.start = 0;
    }

    /// Lets go of the first bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.bytes.len());
        if self.start == self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// How far the end of one direction has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The source may send more.
    #[default]
    Open,
    /// The source ended cleanly; what is held must be delivered, then the sink told.
    Ending,
    /// The sink was told.
    Ended,
    /// The sink takes no more; what was held is lost.
    Broken,
}

/// One direction of a relayed connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// What the sink did not take yet.
    pub(super) held: Held,
    /// How many bytes the sink took.
    pub(super) delivered: u64,
    stage: Stage,
}

impl Flow {
    /// Whether more may be read from the source: never while something is held, which is what makes
    /// back-pressure.
    pub(super) fn wants_input(&self) -> bool {
        self.stage == Stage::Open && self.held.is_empty()
    }

    /// The source ended cleanly.
    pub(super) fn source_ended(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Ending;
        }
    }

    /// Whether the source ended cleanly, whatever was delivered.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Ending | Stage::Ended)
    }

    /// Whether the sink must now be told of the end.
    pub(super) fn must_end_sink(&self) -> bool {
        self.stage == Stage::Ending && self.held.is_empty()
    }

    /// The sink was told of the end.
    pub(super) fn sink_ended(&mut self) {
        debug_assert!(self.must_end_sink());
        self.stage = Stage::Ended;
    }

    /// The sink takes no more.
    pub(super) fn break_off(&mut self) {
        self.stage = Stage::Broken;
        self.held = Held::default();
    }

    /// Whether nothing more will move in this direction.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended | Stage::Broken)
    }

    /// Whether everything, and the end, reached the sink.
    pub(super) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Counts what the sink took straight from the source.
    pub(super) fn count(&mut self, delivered: usize) {
        self.delivered += delivered as u64;
    }

    /// Counts what the sink took of the held bytes.
    pub(super) fn deliver(&mut self, count: usize) {
        self.held.consume(count);
        self.count(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_what_is_held() {
        let mut flow = Flow::default();
        assert!(flow.wants_input());
        flow.held.keep(b"hello");
        assert!(!flow.wants_input(), "back-pressure");
        flow.source_ended();
        assert!(!flow.must_end_sink(), "bytes are still to be delivered");
        flow.deliver(2);
        assert_eq!(flow.held.as_slice(), b"llo");
        flow.deliver(3);
        assert!(flow.must_end_sink());
        flow.sink_ended();
        assert!(flow.is_over() && flow.is_ended() && !flow.wants_input());
        assert_eq!(flow.delivered, 5);
    }

    #[test]
    fn a_broken_flow_ends_without_telling_the_sink() {
        let mut flow = Flow::default();
        flow.held.keep(b"lost");
        flow.break_off();
        flow.source_ended();
        assert!(flow.is_over() && !flow.is_ended() && !flow.is_complete());
        assert!(!flow.must_end_sink() && !flow.wants_input());
    }

    #[test]
    fn held_memory_is_released_when_it_is_empty() {
        let mut held = Held::default();
        held.keep(&[7; 4096]);
        held.consume(4095);
        assert_eq!(held.as_slice(), [7]);
        held.consume(1);
        assert_eq!(held.bytes.capacity(), 0);
    }
}
