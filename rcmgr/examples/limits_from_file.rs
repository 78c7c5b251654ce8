//! Takes limits from a file, over the limits of a budget.

use std::fs;

use rcmgr::LimitsFile;
use rcmgr::prelude::*;

const FILE: &str = r#"
[PeerDefault]
ConnsInbound = 8
Memory = "48 MiB"
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("limits.toml");
    fs::write(&path, FILE)?;

    // The budget gives a limit to everything. The file overrides some of them.
    let defaults = Budget {
        memory: 512 * MIB,
        fds: 4096,
    }
    .limits();
    let limits = LimitsFile::read(&path)?.limits.build(&defaults);
    assert_eq!(limits.peer_default.conns_inbound, LimitValue::Limited(8));
    assert_eq!(limits.peer_default.memory, LimitValue::Limited(48 * MIB));
    assert_eq!(limits.system, defaults.system);

    // Limits that cannot work as they read, such as one above that of the whole system.
    assert!(limits.warnings(None).is_empty());
    let manager = Manager::new(limits)?;
    println!(
        "a peer may have {} inbound connections",
        manager.limits().peer_default.conns_inbound
    );

    // An error in a file is reported with file and line.
    fs::write(&path, "[System]\nMemry = \"1 GiB\"\n")?;
    let error = LimitsFile::read(&path).unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains("limits.toml:2"), "{error}");
    assert!(error.contains("did you mean \"Memory\"?"), "{error}");
    Ok(())
}
