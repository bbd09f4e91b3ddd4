//! What the operating system allows, and what this process used of it.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Descriptors that are not connections: standard streams, polls, wakers, listener, files.
const RESERVED: u64 = 64;

/// Raises the soft limit on open descriptors to the hard one: how many there may be.
pub(super) fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    if let Err(error) = raised {
        warn!(%error, "the limit on open descriptors cannot be raised");
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}

/// How many connections fit into the descriptors, if that is fewer than wanted.
pub(super) fn connections_within(wanted: usize, descriptors: u64, per_connection: u64) -> usize {
    let possible = descriptors.saturating_sub(RESERVED) / per_connection;
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).max(1);
    if possible < wanted {
        warn!(
            wanted,
            possible,
            descriptors,
            "fewer connections than wanted fit into the limit on descriptors"
        );
    } else {
        info!(descriptors, "descriptor limit");
    }
    wanted.min(possible)
}

/// The most memory this process ever had resident, in KiB, where the system tells.
pub(super) fn peak_resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    parse_peak(&status)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_descriptors() {
        assert_eq!(connections_within(10_000, 20_000, 2), 9_968);
        assert_eq!(connections_within(100, 20_000, 2), 100);
        assert_eq!(connections_within(100, 10, 2), 1);
        assert_eq!(connections_within(100, u64::MAX, 3), 100);
    }

    #[test]
    fn the_peak_is_read_from_the_status() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t  4312 kB\n"), Some(4_312));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }
}
