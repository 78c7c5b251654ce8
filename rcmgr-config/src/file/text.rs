//! The text of a file, with a bound on its length.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rcmgr_core::{BadConfiguration, MIB};

/// The largest text that is read: room for ten thousand named entries of a peer with all fields,
/// and little enough that the wrong file does no harm: reading takes some 130 times its size at
/// worst (TOML of one short key a line, measured).
pub(crate) const LARGEST: u64 = 4 * MIB;

/// An error about the whole file.
pub(crate) fn whole(reason: String) -> BadConfiguration {
    BadConfiguration {
        reason,
        ..BadConfiguration::default()
    }
}

pub(super) fn too_long() -> BadConfiguration {
    whole("longer than 4 MiB, which is no file of limits".into())
}

pub(super) fn read_text(path: &Path) -> Result<String, BadConfiguration> {
    let mut bytes = Vec::new();
    // One byte more tells a file that is too long from one that just fits.
    open_regular(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| whole(error.to_string()))?;
    text_of(bytes)
}

/// Opens a regular file. It is looked at first, because to open a pipe would wait for who writes to
/// it.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    File::open(path)
}

/// The text that a file's bytes are, if they are not too many.
pub(crate) fn text_of(bytes: Vec<u8>) -> Result<String, BadConfiguration> {
    if bytes.len() as u64 > LARGEST {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let breaks = error.as_bytes()[..valid]
            .iter()
            .filter(|byte| **byte == b'\n');
        BadConfiguration {
            line: Some(breaks.count() + 1),
            ..whole("not UTF-8 text".into())
        }
    })
}
