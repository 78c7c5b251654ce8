//! Pins threads to cores.
//!
//! A slice of time is short. If two threads start on the same core, the scheduler may need longer
//! than the slice to move one of them. So each thread is pinned.

use std::fs;
use std::sync::OnceLock;

use core_affinity::CoreId;

/// Pins the current thread to a core. Different numbers get different cores as long as there are
/// enough. Where the system does not support this, the scheduler decides.
pub fn pin(number: usize) {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    let cores = CORES.get_or_init(|| apart(core_affinity::get_core_ids().unwrap_or_default()));
    if let Some(at) = number.checked_rem(cores.len()) {
        core_affinity::set_for_current(cores[at]);
    }
}

/// Sorts the cores for use: the second threads of a physical core come last.
fn apart(mut cores: Vec<CoreId>) -> Vec<CoreId> {
    cores.sort_by_cached_key(|core| {
        let folder = format!("/sys/devices/system/cpu/cpu{}/topology", core.id);
        let siblings = fs::read_to_string(format!("{folder}/thread_siblings_list"));
        siblings.map_or(0, |list| rank(core.id, list.trim()))
    });
    cores
}

/// The index of a core among the threads of its physical core, from a list such as `0,32` or `0-1`.
fn rank(core: usize, siblings: &str) -> usize {
    let number = |text: &str| text.parse::<usize>().ok();
    let ranges = siblings
        .split(',')
        .filter_map(|part| match part.split_once('-') {
            Some((first, last)) => Some(number(first)?..=number(last)?),
            None => Some(number(part)?..=number(part)?),
        });
    ranges
        .flatten()
        .take_while(|&sibling| sibling < core)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_thread_of_a_core_comes_late() {
        assert_eq!(rank(0, "0"), 0);
        assert_eq!(rank(32, "0,32"), 1);
        assert_eq!(rank(5, "4-5"), 1);
        assert_eq!(rank(4, "4-5"), 0);
        assert_eq!(rank(4, "what"), 0);
    }

    #[test]
    fn more_threads_than_cores_are_allowed() {
        std::thread::spawn(|| pin(1000)).join().unwrap();
    }
}
