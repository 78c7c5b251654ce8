//! How many file descriptors the process has open, and how many it may have.

/// How many file descriptors the process may have open: the soft limit of `RLIMIT_NOFILE`. `None` if
/// there is no limit, or none is known.
pub(crate) fn allowed() -> Option<u64> {
    #[cfg(unix)]
    {
        let soft = rlimit::Resource::NOFILE.get_soft().ok()?;
        (soft != rlimit::INFINITY).then_some(soft)
    }
    #[cfg(not(unix))]
    None
}

/// How many file descriptors the process has open now, if it can be found out. On Linux since 6.2
/// this opens nothing, so it works without a free descriptor.
pub(crate) fn open() -> Option<u64> {
    const FOLDER: &str = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    // Linux since 6.2 says the number as the size of the folder. Before, the size is zero.
    if cfg!(target_os = "linux")
        && let Ok(folder) = std::fs::metadata(FOLDER)
        && folder.len() > 0
    {
        return Some(folder.len());
    }
    let entries = std::fs::read_dir(FOLDER).ok()?.count();
    // The folder itself is open while it is read.
    Some((entries as u64).saturating_sub(1))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_more_counts_as_one_more() {
        // Other tests of this process open files, so look until the two counts fit together.
        let grows = || {
            let before = open().unwrap();
            let files: Vec<_> = (0..50)
                .map(|_| std::fs::File::open("/dev/null").unwrap())
                .collect();
            let after = open().unwrap();
            drop(files);
            after == before + 50
        };
        assert!((0..1000).any(|_| grows()));
    }
}
