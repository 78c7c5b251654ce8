//! `rcmgr limits diff`.

use crate::{Folder, PEER, Run, SERVER};

#[test]
fn differences_are_listed() {
    let new = "[System]\nMemory = '512 MiB'\nFD = 800\n[PeerDefault]\nConns = 16\n\
               ConnsInbound = 8\n[Peer.tenant-7]\nFD = 1\n";
    let folder = Folder::new("diff", &[("old.toml", SERVER), ("new.toml", new)]);
    let run = folder.limits(&["diff", "old.toml", "new.toml"]);
    let expected = format!(
        "System.FD: 900 -> 800\n\
         PeerDefault.ConnsInbound: unlimited -> 8\n\
         {PEER}: removed\n\
         {PEER}.Conns: 64 -> 16\n\
         {PEER}.ConnsInbound: unlimited -> 8\n\
         Peer.tenant-7: added\n\
         Peer.tenant-7.ConnsInbound: unlimited -> 8\n\
         Peer.tenant-7.FD: 15 -> 1\n"
    );
    assert_eq!(run, Run::new(1, &expected, ""));
    assert_eq!(
        folder.limits(&["diff", "old.toml", "old.toml"]),
        Run::new(0, "", "")
    );
    let gone = folder
        .limits(&["diff", "old.toml", "gone.toml"])
        .wrong_file();
    assert!(gone.starts_with("gone.toml: "), "{gone}");
    assert!(
        folder
            .limits(&["diff", "old.toml"])
            .wrong_use()
            .contains("<NEW>")
    );
}
